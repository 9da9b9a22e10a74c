"""One answer being written: the steps of a session, until one of the reasons to stop."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from vatra.engine.constraint import Grammar
from vatra.engine.llama.errors import WrongArgument
from vatra.engine.llama.options import refuse
from vatra.engine.llama.processors import as_filter, listed
from vatra.engine.llama.responses import Likelihood
from vatra.engine.sampling import Sampling
from vatra.engine.session import ContextFull

if TYPE_CHECKING:
    from vatra.engine.generation import Step
    from vatra.engine.llama.llama import Llama
    from vatra.formats.answers import Answer


@dataclass
class Writing:
    """An answer to the tokens `ids`; its `finish_reason` is "stop" or "length" in the end.

    `logprobs` alternatives come with each token, None without any logprobs.
    """

    llama: Llama
    ids: list[int]
    sampling: Sampling
    max_tokens: int | None
    stop: list[str]
    logprobs: int | None = None
    grammar: Grammar | None = None
    criteria: list[Callable[..., bool]] = field(default_factory=list)
    answer: Answer | None = None
    n_tokens: int = 0  # written, without one that ends the answer
    finish_reason: str = "length"

    def __post_init__(self) -> None:
        if len(self.ids) >= self.llama.n_ctx():
            raise PromptTooLong(len(self.ids), self.llama.n_ctx())
        if isinstance(self.max_tokens, int) and self.max_tokens <= 0:
            self.max_tokens = None
        if not (self.grammar is None or isinstance(self.grammar, Grammar)):
            wanted = "what LlamaGrammar.from_string makes"
            raise WrongArgument(f"grammar: got {self.grammar!r:.60}, wanted {wanted}")
        if self.logprobs is not None and self.logprobs < 0:
            raise WrongArgument(f"logprobs: got {self.logprobs}, wanted an integer from 0")

    def steps(self) -> Iterator[Step]:
        """The steps, which end as soon as one of `criteria` is met."""
        session = self.llama.session
        self.llama.recall(self.ids)
        session.sync(self.ids)
        steps = session.generate(
            self.sampling,
            self.max_tokens,
            self.stop,
            self.answer,
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

    def likelihood(self, step: Step) -> list[Likelihood]:
        """That of the step's token; none for one that ends the answer, or if none is wanted."""
        if self.logprobs is None or step.finish_reason == "eog":
            return []
        raw = self.llama.detokenize
        top = [(raw([other.token]), other.logprob) for other in step.top_logprobs]
        return [Likelihood(raw([step.token]), step.logprob, top)]

    def _is_met(self) -> bool:
        session = self.llama.session
        ids = np.asarray(session.timeline, np.intc)
        return any(criterion(ids, session.logits) for criterion in self.criteria)


class PromptTooLong(ContextFull, WrongArgument):
    """A prompt that leaves no room for an answer."""


def sampling(
    *,
    n_vocab: int,
    seed: int | None,
    temperature: float,
    top_k: int,
    top_p: float,
    min_p: float,
    typical_p: float,
    repeat_penalty: float,
    frequency_penalty: float,
    presence_penalty: float,
    last_n: int,
    mirostat_mode: int,
    mirostat_tau: float,
    mirostat_eta: float,
    tfs_z: float = 1.0,
    penalize_nl: bool = True,
    logits_processor: Any = None,
    logit_bias: Any = None,
) -> Sampling:
    """How tokens are chosen; a temperature below 0 draws from all tokens as they are."""
    refuse(tfs_z=tfs_z, penalize_nl=penalize_nl)
    if isinstance(temperature, (int, float)) and temperature < 0:
        temperature, top_k, top_p, min_p, typical_p, mirostat_mode = 1.0, 0, 1.0, 0.0, 1.0, 0
    processors = listed(logits_processor)
    return Sampling(
        temperature=temperature,
        top_k=0 if isinstance(top_k, int) and top_k < 0 else top_k,
        top_p=top_p,
        min_p=min_p,
        typical_p=typical_p,
        repeat_penalty=repeat_penalty,
        frequency_penalty=frequency_penalty,
        presence_penalty=presence_penalty,
        penalty_last_n=last_n,
        mirostat=mirostat_mode,
        mirostat_tau=mirostat_tau,
        mirostat_eta=mirostat_eta,
        logit_bias=_biases(logit_bias or {}),
        filters=(as_filter(processors, n_vocab),) if processors else (),
        seed=seed,
    )


def _biases(given: Mapping[Any, float]) -> dict[int | str, float]:
    """What is added to the logits of tokens, whose ids may be written as texts."""
    try:
        return {int(token): float(bias) for token, bias in given.items()}
    except (TypeError, ValueError, AttributeError):
        wanted = "token ids and numbers such as {13: -1.5}"
        raise WrongArgument(f"logit_bias: got {given!r:.60}, wanted {wanted}") from None
