"""A conversation: messages, and the session that remembers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vatra.engine.generation import Steps, stop_strings
from vatra.engine.sampling import Sampling

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.formats.chat_template import ChatTemplate, Message


class Conversation:
    """A person's and a model's messages in turn; what was evaluated once is not evaluated again.

    `template` None is the model's own; `template_kwargs` are handed to it.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        template: ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.model = model
        self.template = template or model.chat_template
        self.session = model.session()
        self._template_kwargs = dict(template_kwargs or {})
        self._beginning: list[Message] = []
        if system is not None:
            self._beginning.append({"role": "system", "content": system})
        self._messages = list(self._beginning)
        self._answer: Steps | None = None

    @property
    def messages(self) -> list[Message]:
        """All messages so far, the answer as far as it was written."""
        if self._answer is None:
            return list(self._messages)
        return [*self._messages, {"role": "assistant", "content": self._answer.text}]

    def say(
        self,
        text: str,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Steps:
        """The steps of the answer to `text`.

        An answer that is still being written ends here. If this raises (ContextFull, an error of
        the template, an interrupt) the conversation is as it was before.
        """
        messages: list[Message] = [*self.messages, {"role": "user", "content": text}]
        ids = self.model.chat_ids(messages, template=self.template, **self._template_kwargs)
        stops = [*stop_strings(stop), *self.template.stop]
        if self._answer is not None:
            self._answer.close()
        self.session.sync(ids, progress)
        answer = self.session.generate(sampling, max_tokens, stops)
        self._messages, self._answer = messages, answer
        return answer

    def clear(self) -> None:
        """Forget everything but the system message."""
        if self._answer is not None:
            self._answer.close()
        self._messages, self._answer = list(self._beginning), None
