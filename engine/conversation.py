"""A conversation: messages, and the session that remembers them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vatra.engine.generation import Steps, stop_strings
from vatra.engine.sampling import Sampling
from vatra.errors import UsageError

if TYPE_CHECKING:
    from vatra.engine.model import Model
    from vatra.formats.chat_template import ChatTemplate, Message


class Conversation:
    """A person's and a model's messages in turn; what was evaluated once is not evaluated again.

    `template` None is the model's own; `template_kwargs` are handed to it. `tools` are functions
    that the model may call: see `Model.chat`.
    """

    def __init__(
        self,
        model: Model,
        system: str | None = None,
        template: ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        self.model = model
        self.template = template or model.chat_template
        self.session = model.session()
        self._template_kwargs, self._tools = dict(template_kwargs or {}), tools
        self._beginning: list[Message] = []
        if system is not None:
            self._beginning.append({"role": "system", "content": system})
        self._messages = list(self._beginning)
        self._answer: Steps | None = None

    @property
    def messages(self) -> list[Message]:
        """All messages so far, the answer as far as it was written: its thinking and calls too."""
        if self._answer is None:
            return list(self._messages)
        return [*self._messages, self._answer.message]

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
        said = {"role": "user", "content": text}
        return self._answered([said], sampling, max_tokens, stop, progress)

    def tell(
        self,
        results: Mapping[str, str],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Steps:
        """The steps of the answer to what tools returned: by the ids of the calls of the last one.

        Raises UsageError unless these are the calls that were made.
        """
        calls = [] if self._answer is None else self._answer.tool_calls
        if not calls or {call.id for call in calls} != set(results):
            wanted = ", ".join(call.id for call in calls) or "none, as there was no call"
            raise UsageError(f"results: got those of {', '.join(results)}, wanted {wanted}")
        told: list[Message] = [
            {"role": "tool", "tool_call_id": c.id, "name": c.name, "content": results[c.id]}
            for c in calls
        ]
        return self._answered(told, sampling, max_tokens, stop, progress)

    def _answered(
        self,
        said: Sequence[Message],
        sampling: Sampling | None,
        max_tokens: int | None,
        stop: Sequence[str],
        progress: Callable[[int, int], None] | None,
    ) -> Steps:
        messages = [*self.messages, *said]
        ids, answer = self.model.chat_prompt(
            messages, template=self.template, **{"tools": self._tools, **self._template_kwargs}
        )
        stops = [*stop_strings(stop), *self.template.stop]
        if self._answer is not None:
            self._answer.close()
        self.session.sync(ids, progress)
        steps = self.session.generate(sampling, max_tokens, stops, answer)
        self._messages, self._answer = messages, steps
        return steps

    def clear(self) -> None:
        """Forget everything but the system message."""
        if self._answer is not None:
            self._answer.close()
        self._messages, self._answer = list(self._beginning), None
