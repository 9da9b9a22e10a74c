"""One answer being written: the steps of a session, until one of the reasons to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vatra.engine.constraint import Grammar
from vatra.engine.llama.options import refuse
from vatra.engine.llama.processors import as_filter, listed
from vatra.engine.openai.answers import Answer, Head
from vatra.engine.openai.requests import biases
from vatra.engine.sampling import Sampling
from vatra.engine.session import ContextFull
from vatra.engine.writing import Begun, Ended, Piece, Token, piece, token
from vatra.errors import WrongArgument

if TYPE_CHECKING:
    from vatra.engine.generation import Step
    from vatra.engine.llama.llama import Llama
    from vatra.formats.answers import Answer as Reader


@dataclass
class Writing:
    """An answer to the tokens `ids`; its `finish_reason` is "stop" or "length" in the end.

    `logprobs` alternatives come with each token, None without any logprobs.
    """

    llama: Llama
    ids: list[int]
    sampling: Sampling
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    logprobs: int | None = None
    grammar: Grammar | None = None
    criteria: list[Callable[..., bool]] = field(default_factory=list)
    reader: Reader | None = None
    n_tokens: int = 0  # written, without one that ends the answer
    finish_reason: Literal["stop", "length"] = "length"

    def __post_init__(self) -> None:
        if len(self.ids) >= self.llama.n_ctx():
            raise PromptTooLong(len(self.ids), self.llama.n_ctx())
        if isinstance(self.max_tokens, int) and self.max_tokens <= 0:
            self.max_tokens = None
        if not (self.grammar is None or isinstance(self.grammar, Grammar)):
            wanted = "what LlamaGrammar.from_string makes"
            raise WrongArgument(f"grammar: got {self.grammar!r:.60}, wanted {wanted}")

    def steps(self) -> Iterator[Step]:
        """The steps, which end as soon as one of `criteria` is met."""
        session = self.llama.session
        self.llama.recall(self.ids)
        session.sync(self.ids)
        steps = session.generate(
            self.sampling,
            self.max_tokens,
            self.stop,
            self.reader,
            logprobs=self.logprobs or 0,
            grammar=self.grammar,
        )
        while not steps.closed:
            if self.criteria and self._is_met():
                self.finish_reason = "stop"
                break
            step = next(steps)
            self.n_tokens += step.finish_reason != "eog"
            if step.finish_reason in ("eog", "stop"):
                self.finish_reason = "stop"
            yield step
        steps.close()
        self.llama.remember()

    def events(self) -> Iterator[Begun | Piece | Ended]:
        """What happens, as `engine.writing` has it."""
        yield Begun(len(self.ids), 0, 0)
        for step in self.steps():
            told = piece(step, self.llama.model.tokenizer, self.logprobs is not None)
            if told is not None:
                yield told
        taken = self.llama.session.statistics
        yield Ended(
            self.finish_reason,
            len(self.ids),
            taken.reused_tokens,
            self.n_tokens,
            taken.prompt_s,
            taken.generated_s,
            taken.waited_s,
        )

    def answered(self, head: Head, answer: Answer, stream: bool) -> Any:
        """The answer in OpenAI's shape, or its chunks, without what llama-cpp-python has not."""
        chunks = (
            head.chunk([_plain(choice, answer)])
            for event in self.events()
            for choice in answer.add(event)
        )
        if stream:
            return chunks
        for _ in chunks:
            pass
        found = head.whole([answer])
        del found["usage"]["prompt_tokens_details"]
        return found | {"choices": [_plain(choice, answer) for choice in found["choices"]]}

    def prompt_tokens(self) -> list[tuple[Token, Sequence[Token]]]:
        """How likely the tokens of the prompt are, without the one that begins every text."""
        if self.logprobs is None:
            return []
        model = self.llama.model
        found: list[tuple[Token, Sequence[Token]]] = []
        for known in model.logprobs(self.ids, self.logprobs):
            top = [token(other.token, other.logprob, model.tokenizer) for other in known.top]
            found.append((token(known.token, known.logprob, model.tokenizer), top))
        if self.ids[:1] == [self.llama.token_bos()]:
            found = found[1:]
            found[:1] = [(replace(first, logprob=None), []) for first, _ in found[:1]]
        return found

    def _is_met(self) -> bool:
        session = self.llama.session
        ids = np.asarray(session.timeline, np.intc)
        return any(criterion(ids, session.logits) for criterion in self.criteria)


class PromptTooLong(ContextFull, WrongArgument):
    """A prompt that leaves no room for an answer."""


def _plain(choice: dict[str, Any], answer: Answer) -> dict[str, Any]:
    """A choice as llama-cpp-python has it; a forced call is a `function_call`, too."""
    if not answer.chat:
        return choice
    name = "message" if "message" in choice else "delta"
    said = {k: v for k, v in choice[name].items() if k != "refusal"}
    if name == "delta" and "role" in said:
        del said["content"]
    if answer.choice.forced and "tool_calls" in said:
        said["function_call"] = said["tool_calls"][0]["function"]
    return choice | {name: said}


_SAME = (
    *("temperature", "top_k", "top_p", "min_p", "typical_p", "mirostat_tau", "mirostat_eta"),
    *("repeat_penalty", "frequency_penalty", "presence_penalty"),
)
_FIELDS = {  # arguments, and the fields of Sampling that they are
    **{name: name for name in _SAME},
    "temp": "temperature",
    "mirostat_mode": "mirostat",
}


def sampling(
    given: Mapping[str, Any], *, n_vocab: int, seed: int | None, penalty_last_n: int
) -> Sampling:
    """How tokens are chosen, of a method's arguments; a temperature below 0 draws from all."""
    refuse(given)
    chosen = {field: given[name] for name, field in _FIELDS.items() if name in given}
    if isinstance(chosen["temperature"], (int, float)) and chosen["temperature"] < 0:
        chosen |= {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "min_p": 0.0, "typical_p": 1.0}
        chosen["mirostat"] = 0
    if isinstance(chosen["top_k"], int):
        chosen["top_k"] = max(0, chosen["top_k"])
    processors = listed(given.get("logits_processor"))
    return Sampling(
        **chosen,
        penalty_last_n=penalty_last_n,
        logit_bias=tuple(biases(given.get("logit_bias") or {})),
        filters=(as_filter(processors, n_vocab),) if processors else (),
        seed=seed,
    )
