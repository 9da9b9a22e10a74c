"""A loaded model: immutable, shared by any number of sessions."""

from __future__ import annotations

import os
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import cached_property, partial
from importlib import import_module
from itertools import pairwise
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vatra import models, spark
from vatra.choices import Choice
from vatra.engine import memory, numerics
from vatra.engine.cpu import without_kernel
from vatra.engine.executor import KV_TYPES, Chooser, Executor, KVType, Outputs, Part, State
from vatra.engine.generation import Steps
from vatra.engine.hooks import Capture, Change, Hooks
from vatra.engine.logprobs import (
    TokenLogprob,
    alternatives,
    check_count,
    log_probability,
    log_sum_exp,
    text_of,
)
from vatra.engine.requirements import Requirements, grows_by, requirements
from vatra.engine.sampling import Sampling, not_honoured
from vatra.engine.session import CHUNK, ContextFull, Overflow, Session
from vatra.engine.speculation import Speculate
from vatra.errors import OutOfMemory, UnsupportedFile, UsageError
from vatra.formats import gguf, shelf, tokenizer
from vatra.formats.fingerprint import fingerprint
from vatra.formats.tokenizer import Tokenizer

if TYPE_CHECKING:
    from vatra.engine.asynchronous import AsyncSteps
    from vatra.engine.batch_answers import AnyPrompt, BatchAnswer
    from vatra.engine.constraint import Grammar
    from vatra.engine.offload.placement import Placement
    from vatra.engine.timings import Timings
    from vatra.formats.answers import Answer
    from vatra.formats.chat_template import ChatTemplate, Message, Segment
    from vatra.formats.checkpoint import Checkpoint
    from vatra.models.plan import Plan
    from vatra.models.pooling import Pooling

Array = np.ndarray
Prompt = str | Iterable[int]

BACKENDS = {
    "cpu": "vatra.engine.cpu:CpuExecutor",
    "reference": "vatra.engine.reference:ReferenceExecutor",
}
WITH_THREADS = frozenset({"cpu"})  # the backends whose executor takes `threads` and `kv`
MOST_PARALLEL = 256  # texts at once
MOST_CTX_UNASKED = 32768  # longer contexts are rarely wanted and cost memory
SHARE_OF_MEMORY = 4  # the KV cache of an unasked context takes at most 1 / 4 of what is available
PART_LOGITS = 2**24  # at once, where all logits of a text pass by: 64 MB
LEAST_CTX_UNASKED = 512  # shorter ones are of no use, whatever they cost


def load(
    path: str | os.PathLike[str] | None = None,
    backend: str = "cpu",
    threads: int | None = None,
    ctx: int | None = None,
    kv: KVType = "f16",
    gpu_layers: int | str | None = None,
    device: str | None = None,
) -> Model:
    """The model in a GGUF file, without one the toy that comes with Vatra, ready to evaluate.

    `path` may also be a name that `vatra list` shows, or a part of one that means no other.
    `backend` is "cpu" (compiled kernels) or "reference" (numpy); `ctx` the tokens of context, by
    default what the file says as far as memory allows; `kv` the precision of the KV cache: "f16",
    "f32", "q8_0" (53 % of f16's memory) or "q4_0" (28 %). `gpu_layers` of the last layers, and the
    output, run on a graphics processor: a number, "all", or "auto" for as many as its memory holds;
    by default none, and "auto" with a `device`, a part of its name, without which it is the first.
    This needs `pip install 'vatra[gpu]'`. Raises MissingFile, BadFile, UnsupportedFile, OutOfMemory
    with what is needed and there, or UsageError.
    """
    if backend not in BACKENDS:
        raise UsageError(f"backend: got {backend!r}, wanted {' or '.join(BACKENDS)}")
    if kv not in KV_TYPES:
        raise UsageError(f"kv: got {kv!r}, wanted {' or '.join(KV_TYPES)}")
    check_number("threads", threads, 1024)
    check_number("ctx", ctx, 2**31 - 1)
    gpu_layers = layers_wanted(gpu_layers, device, kv)
    if path is None:
        path = spark.path()
    elif isinstance(path, str):
        path = shelf.find(path)
    checkpoint = gguf.read(path)
    try:
        return _open(checkpoint, backend, threads, ctx, kv, gpu_layers, device)
    except BaseException:
        checkpoint.close()
        raise


def _open(
    checkpoint: Checkpoint,
    backend: str,
    threads: int | None,
    ctx: int | None,
    kv: KVType,
    gpu_layers: int | str,
    device: str | None,
) -> Model:
    plan = models.read(checkpoint, ctx)
    why = BACKENDS[backend]
    if backend == "cpu" and (missing := without_kernel(plan)):
        backend = "reference"
        why = f"{', '.join(missing)} of {plan.architecture} have no compiled kernel, so it is slow"
    module, _, name = BACKENDS[backend].partition(":")
    executor_class = getattr(import_module(module), name)
    if not plan.causal:  # a layer's keys and values are of one run, and free again after it
        kv = "f32"
    place: Placement | None = None
    if gpu_layers:
        from vatra.engine.offload.placement import Placement

        place = Placement(gpu_layers, device)
    left = [memory.available(), place and place.left]
    growth = partial(grows_by, plan, executor_class, kv)
    chosen = choose_ctx(
        plan.n_ctx_train, growth, ctx, min((each for each in left if each), default=None)
    )
    n_ctx = int(chosen.value)
    if ctx is None and n_ctx != plan.n_ctx_train:
        plan = models.read(checkpoint, n_ctx)  # some rotations depend on it
    here = plan if place is None else place.cut(plan, n_ctx)
    check_memory(requirements(here, executor_class, n_ctx, kv))
    found: Tokenizer | UnsupportedFile
    try:
        found = tokenizer.load(checkpoint)
    except UnsupportedFile as error:
        found = error
    options = {"threads": threads, "kv": kv} if backend in WITH_THREADS else {}
    near = partial(executor_class, **options)
    choices = [chosen, Choice("backend", backend, why)]
    notes = [why] if why != BACKENDS[backend] else []
    if place is None:
        executor: Executor = near(plan)
    else:
        executor = place.open(near)
        choices.append(place.choice)
        notes += filter(None, [place.note])
    model = Model(checkpoint, plan, executor, found, n_ctx=n_ctx, kv=kv, choices=choices)
    model.notes += notes
    return model


def choose_ctx(
    trained: int,
    kv_bytes: Callable[[int], int],
    asked: int | None,
    available: memory.Available | None,
) -> Choice:
    """The tokens of context to use, for a KV cache of `kv_bytes(n)` bytes for n tokens."""
    if asked is not None:
        return Choice("ctx", str(asked), "as asked for")
    n_ctx, reason = trained, "what the file says"
    if n_ctx > MOST_CTX_UNASKED:
        n_ctx = MOST_CTX_UNASKED
        reason = f"the file says {trained}, more than {n_ctx} only if asked for"
    if available is not None:
        allowed = available.n_bytes // SHARE_OF_MEMORY
        if kv_bytes(n_ctx) > allowed:
            affordable = bisect_right(range(n_ctx), allowed, key=kv_bytes) - 1
            n_ctx = min(n_ctx, max(affordable, LEAST_CTX_UNASKED))
            share = f"1/{SHARE_OF_MEMORY} of the {memory.mebibytes(available.n_bytes)}"
            reason = f"the file says {trained}; its KV cache may take {share} {available.reason}"
    return Choice("ctx", str(n_ctx), reason)


def report() -> list[Choice]:
    """How a context is chosen where none is asked for, for `vatra doctor`."""
    most = f"what the file says, up to {MOST_CTX_UNASKED} tokens"
    why = f"its keys and values may take 1/{SHARE_OF_MEMORY} of the memory; --ctx asks for another"
    return [Choice("context", most, why)]


def check_memory(needed: Requirements) -> None:
    """Raise OutOfMemory, with what is needed and what there is, before anything large is made."""
    left = memory.available()
    if left is not None and needed.total > left.n_bytes:
        raise OutOfMemory(
            f"of memory the model needs {needed}; but {memory.mebibytes(left.n_bytes)} are "
            f"{left.reason}: ask for a shorter context, or take a smaller model"
        )


def cannot_write(plan: Plan) -> str | None:
    """Why a model can not continue a text, or None if it can."""
    if plan.embeds:
        return "this model makes embeddings and can not continue a text: vatra embed"
    if not plan.causal:
        return "this model writes by diffusion, which Vatra does not do"
    return None


def layers_wanted(gpu_layers: int | str | None, device: str | None, kv: KVType) -> int | str:
    """`gpu_layers` of `load`, or its default; raises UsageError."""
    if gpu_layers is None:
        gpu_layers = 0 if device is None else "auto"
    if gpu_layers not in (0, "auto", "all"):
        check_number("gpu_layers", gpu_layers, 2**31 - 1, 'an integer from 0 on, "auto" or "all"')
    if gpu_layers and kv != "f16":
        raise UsageError(f"kv: the KV cache of layers on a device is f16, got {kv}")
    return gpu_layers


def check_number(name: str, value: object, most: int, wanted: str = "") -> None:
    """Raise UsageError unless `value` is None or an integer from 1 to `most`; `wanted` says so."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        wanted = wanted or f"an integer from 1 to {most}"
        raise UsageError(f"{name}: got {value!r}, wanted {wanted}")


class Model:
    """Weights, vocabulary and the executor that evaluates them; close it, or use it in a `with`.

    `notes` are what a person should know of this file; `choices` what was decided, and why.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        plan: Plan,
        executor: Executor,
        found: Tokenizer | UnsupportedFile,
        *,
        n_ctx: int,
        kv: KVType = "f16",
        choices: Sequence[Choice] = (),
    ) -> None:
        self.checkpoint, self.plan, self.executor = checkpoint, plan, executor
        self.n_ctx, self.kv = n_ctx, kv
        self.choices = list(choices)
        self.notes: list[str] = []
        self._tokenizer = found
        self._lock = threading.Lock()
        self._hooks = Hooks(self, self._lock)
        self._closed = False
        self._chat_lock = threading.Lock()  # two threads must not be given one session
        self._chat: Session | None = None
        self._chat_steps: Steps | None = None
        if n_ctx > plan.n_ctx_train:
            self.notes.append(
                f"a context of {n_ctx} tokens is longer than the {plan.n_ctx_train} the model was "
                "trained for: what it writes past them may be nonsense"
            )
        ignored = not_honoured(self.metadata)
        if ignored:
            self.notes.append(
                f"sampling that the file recommends is not done: {', '.join(ignored)}"
            )
        if isinstance(found, Tokenizer):
            self.notes += found.warnings
        else:
            self.notes.append(str(found))

    @property
    def path(self) -> str:
        return self.checkpoint.path

    @property
    def metadata(self) -> Mapping[str, Any]:
        """The file's keys and values."""
        return self.checkpoint.metadata

    @property
    def threads(self) -> int:
        """Threads that compute."""
        return int(getattr(self.executor, "n_threads", 1))

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to tokens and back; UnsupportedFile if the file's tokenizer is not known."""
        if isinstance(self._tokenizer, UnsupportedFile):
            raise self._tokenizer
        return self._tokenizer

    @property
    def tokenizer_or_none(self) -> Tokenizer | None:
        """`tokenizer`, or None where it is not known and tokens stand for no text."""
        return None if isinstance(self._tokenizer, UnsupportedFile) else self._tokenizer

    @cached_property
    def fingerprint(self) -> str:
        """What tells the file from all others, wherever it lies: 128 bits in hexadecimal."""
        return fingerprint(self.checkpoint)

    @cached_property
    def sampling(self) -> Sampling:
        """What the file recommends, on top of the defaults; BadFile for an impossible value."""
        return Sampling.from_metadata(self.metadata, self.path)

    @cached_property
    def pooling(self) -> Pooling:
        """How the file says that a text's vectors become one; BadFile for what does not fit."""
        from vatra.models import pooling

        width = self.plan.hidden.width
        return pooling.read(self.checkpoint, width, causal=self.plan.causal)

    @cached_property
    def chat_template(self) -> ChatTemplate:
        """The file's template, or a plain built-in one, which is then noted."""
        from vatra.formats import chat_template

        found = chat_template.for_model(self.checkpoint, self.tokenizer)
        if found.note:
            self.notes.append(found.note)
        return found

    @property
    def host(self) -> Executor:
        """What evaluates the layers that are not on a device: the executor itself without one."""
        return getattr(self.executor, "near", self.executor)

    def requirements(self, ctx: int | None = None) -> Requirements:
        """What the model takes of the processor's memory, for one context, by default its own."""
        return requirements(self.host.plan, type(self.host), ctx or self.n_ctx, self.kv)

    def run(self, state: State, tokens: Array, position: int, outputs: Outputs = "last") -> Array:
        """`executor.run`, for one thread at a time; what it returns is good until the next run.

        Raises IOFailed if the file was cut or rewritten since it was loaded.
        """
        with self._ready():
            return self.executor.run(state, tokens, position, outputs)

    def best(self, state: State, token: int, position: int) -> tuple[int, float] | None:
        """`Chooser.best` as `run`, and None of an executor that is none."""
        if not isinstance(self.executor, Chooser):
            return None
        with self._ready():
            return self.executor.best(state, token, position)

    def run_batch(self, parts: Sequence[Part]) -> list[Array]:
        """`executor.run_batch`, as `run`."""
        with self._ready():
            return self.executor.run_batch(parts)

    def begin(self, part: Part) -> Iterator[Array | None]:
        """`executor.begin`, to `go_on` with."""
        with self._ready():
            return self.executor.begin(part)

    def go_on(self, bits: Iterator[Array | None]) -> Array | None:
        """Evaluate the next bit of what was begun; its outputs after the last."""
        with self._ready():
            return next(bits)

    @contextmanager
    def _ready(self) -> Iterator[None]:
        self._hooks.check_caller()
        with self._lock:
            if self._closed:
                raise UsageError(f"{self.path}: this model was closed")
            # Reading mapped pages that a shorter file no longer has would end the process.
            self.checkpoint.check_unchanged()
            yield

    def logits(self, ids: Iterable[int]) -> Array:
        """float32 (n_tokens, n_vocab): the logits after each of `ids`, from an empty cache.

        Raises ContextFull for more tokens than the context holds, UsageError if the model makes
        vectors instead, and an error that names the tensor to blame where a logit is not finite.
        """
        if self.plan.embeds:
            raise UsageError(f"{self.plan.architecture} models make no logits, but vectors: embed")
        ids = ids if isinstance(ids, np.ndarray) else list(ids)
        if len(ids) > self.n_ctx:
            raise ContextFull(len(ids), self.n_ctx)
        out = np.empty((len(ids), self.plan.n_vocab), np.float32)
        for begin, found in self.logits_in_parts(ids, most=CHUNK):
            out[begin : begin + len(found)] = found
        return out

    def logits_in_parts(
        self, ids: Sequence[int] | Array, first: int = 0, kv: KVType = "f32", most: int = 0
    ) -> Iterator[tuple[int, Array]]:
        """Position and float32 (up to `most`, n_vocab): the logits after `ids[first:]`, in parts.

        From an empty cache in float32, so that they are as right as the weights are, or in f16 with
        layers on a device; each part is good until the next. `most` 0 is as many as take little
        memory. Errors are as of `logits`.
        """
        if not len(ids):
            return
        most = most or min(CHUNK, max(1, PART_LOGITS // self.plan.n_vocab))
        state = self.executor.new_state(len(ids), kv if self.host is self.executor else "f16")
        tokens = np.asarray(ids)
        if not self.plan.causal:  # each token sees all others
            first, most = 0, len(tokens)
        bounds = sorted({*range(0, first, CHUNK), *range(first, len(tokens), most), len(tokens)})
        for begin, end in pairwise(bounds):
            wanted = begin >= first
            found = self.run(state, tokens[begin:end], begin, "all" if wanted else "none")
            if wanted:
                numerics.check_finite(found, self, tokens[:end].tolist())
                yield begin, found

    def logprobs(self, ids: Iterable[int], top: int = 0) -> list[TokenLogprob]:
        """How likely each token of `ids` is after those before it, and the `top` likeliest there.

        Raises ContextFull for more tokens than the context holds.
        """
        tokens = [int(i) for i in ids]
        if len(tokens) > self.n_ctx:
            raise ContextFull(len(tokens), self.n_ctx)
        check_count("top", top)
        known = self.tokenizer_or_none
        found = [TokenLogprob(token, text_of(token, known), None) for token in tokens]
        for begin, logits in self.logits_in_parts(tokens):
            for i, row in enumerate(logits[: len(tokens) - 1 - begin], begin + 1):
                total = log_sum_exp(row)
                likeliest = alternatives(row, top, total, known)
                logprob = log_probability(row, tokens[i], total)
                found[i] = found[i]._replace(logprob=logprob, top=likeliest)
        return found

    def embed(
        self,
        texts: str | Sequence[str | Sequence[int]],
        pooling: str | None = None,
        normalise: bool = True,
    ) -> Array:
        """float32 (n_texts, n_embd): a vector for each text, of length 1 if `normalise`.

        `pooling` is "mean", "cls" (the first token's) or "last"; by default what the file says,
        else the mean. Control tokens in a text are ordinary text, unless it is given by its tokens.
        Any model can do it, though few were trained to. Raises ContextFull for a text longer than
        the context.
        """
        from vatra.engine import embedding

        texts = [texts] if isinstance(texts, str) else list(texts)
        return embedding.embed(self, texts, pooling, normalise)

    def token_embeddings(self, text: str) -> Array:
        """float32 (n_tokens, n_embd): the vector of each token of a text, not scaled.

        They are what logits are made of in models that have logits.
        """
        from vatra.engine import embedding

        return embedding.token_vectors(self, text)

    def rank(self, query: str, texts: Sequence[str]) -> Array:
        """float32 (n_texts,): how well each text answers `query`, as the file's classifier says.

        Raises UsageError where it has none.
        """
        from vatra.engine import embedding

        return embedding.rank(self, query, list(texts))

    def session(self, ctx: int | None = None) -> Session:
        """A new, empty timeline of `ctx` tokens of context, by default the model's.

        Raises OutOfMemory with what the context asked for needs and what there is, UsageError if
        the model can not continue a text.
        """
        if (why := cannot_write(self.plan)) is not None:
            raise UsageError(why)
        check_number("ctx", ctx, 2**31 - 1)
        if ctx is not None:
            check_memory(replace(self.requirements(ctx), weights=0, program=0))
        return Session(self, ctx)

    def generate(
        self,
        prompt: Prompt,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        *,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        speculate: Speculate = None,
        overflow: Overflow = "stop",
        keep: int | None = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> Steps:
        """The continuation of `prompt`, text or token ids, in a session of its own.

        `logprobs`, `grammar`, `speculate`, `overflow` and `keep` are those of `Session.generate`;
        `values` are fields of Sampling, such as temperature=0. `progress(done, total)` is called
        after each piece of the prompt; what it raises ends the reading.
        """
        sampling = self._sampling(sampling, values)
        ids = self.tokenizer.encode(prompt) if isinstance(prompt, str) else prompt
        session = self.session()
        session.sync(ids, progress)
        return session.generate(
            sampling,
            max_tokens,
            stop,
            logprobs=logprobs,
            grammar=grammar,
            speculate=speculate,
            overflow=overflow,
            keep=keep,
        )

    def chat(
        self,
        messages: Sequence[Message],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        speculate: Speculate = None,
        progress: Callable[[int, int], None] | None = None,
        **values: Any,
    ) -> Steps:
        """The answer to `messages`, each with a "role" and "content".

        `tools` are functions that the model may call, as JSON schemas such as {"type": "function",
        "function": {"name": ..., "parameters": ...}}: the calls are `tool_calls` of the steps. What
        the last call has in common with this one is not evaluated again. `logprobs`, `grammar` and
        `speculate` are those of `Session.generate`, `progress` is that of `generate`; `values` are
        fields of Sampling.
        """
        sampling = self._sampling(sampling, values)
        kwargs = {"tools": tools, **dict(template_kwargs or {})}
        ids, answer = self.chat_prompt(messages, template=template, **kwargs)
        with self._chat_lock:
            busy = self._chat_steps is not None and not self._chat_steps.closed
            session = self._chat if self._chat is not None and not busy else self.session()
            session.sync(ids, progress)
            steps = session.generate(
                sampling,
                max_tokens,
                stop,
                answer,
                logprobs=logprobs,
                grammar=grammar,
                speculate=speculate,
            )
            if not busy:
                self._chat, self._chat_steps = session, steps
        return steps

    def agenerate(
        self,
        prompt: Prompt,
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> AsyncSteps:
        """`generate` for programs with an event loop: `async for step in model.agenerate(...)`.

        All is done in a thread of its own, the errors of `generate` too.
        """
        from vatra.engine.asynchronous import AsyncSteps

        return AsyncSteps(
            lambda progress: self.generate(
                prompt, sampling, max_tokens, stop, progress=progress, **options
            )
        )

    def achat(
        self,
        messages: Sequence[Message],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        **options: Any,
    ) -> AsyncSteps:
        """`chat` for programs with an event loop: `async for step in model.achat(...)`."""
        from vatra.engine.asynchronous import AsyncSteps

        return AsyncSteps(
            lambda progress: self.chat(
                messages, sampling, max_tokens, stop, progress=progress, **options
            )
        )

    def batch(
        self,
        prompts: Iterable[AnyPrompt],
        sampling: Sampling | None = None,
        max_tokens: int | None = None,
        stop: Sequence[str] = (),
        *,
        parallel: int = 8,
        in_order: bool = True,
        ctx: int | None = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: ChatTemplate | None = None,
        template_kwargs: Mapping[str, Any] | None = None,
        logprobs: int = 0,
        grammar: Grammar | None = None,
        **values: Any,
    ) -> Iterator[BatchAnswer]:
        """The finished answers to many prompts, `parallel` of them written at once.

        A prompt is a text or tokens to continue, as for `generate`, or messages, as for `chat`;
        they are taken as they are needed. Answers come in the order of the prompts, or as soon as
        they are complete; `index` counts prompts from 0. What goes wrong with a prompt is its
        answer's `error`. Each text is the one that its prompt gets alone.
        """
        from vatra.engine.batch_answers import Job, answers, ordered

        check_number("parallel", parallel, MOST_PARALLEL)
        options = {
            "sampling": self._sampling(sampling, values),
            "max_tokens": max_tokens,
            "stop": stop,
            "logprobs": logprobs,
            "grammar": grammar,
        }
        template_kwargs = {"tools": tools, **dict(template_kwargs or {})}
        jobs = (
            Job(prompt, options, template, template_kwargs, with_steps=bool(logprobs))
            for prompt in prompts
        )
        found = answers(self, jobs, parallel, ctx)
        return ordered(found) if in_order else found

    def chat_ids(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool = True,
        template: ChatTemplate | None = None,
        **kwargs: Any,
    ) -> list[int]:
        """The tokens of a conversation; text from messages never becomes a control token."""
        from vatra.formats.chat_template import encode

        segments = self._segments(messages, add_generation_prompt, template, kwargs)
        return encode(segments, self.tokenizer)

    def chat_prompt(
        self,
        messages: Sequence[Message],
        tools: Sequence[Mapping[str, Any]] | None = None,
        template: ChatTemplate | None = None,
        **kwargs: Any,
    ) -> tuple[list[int], Answer]:
        """The tokens of a conversation that an answer is to follow, and what reads that answer."""
        from vatra.formats.chat_template import encode

        template = template or self.chat_template
        segments = self._segments(messages, True, template, {"tools": tools, **kwargs})
        return encode(segments, self.tokenizer), template.answer(segments, messages, tools)

    def _segments(
        self,
        messages: Sequence[Message],
        add_generation_prompt: bool,
        template: ChatTemplate | None,
        kwargs: dict[str, Any],
    ) -> list[Segment]:
        if isinstance(messages, str) or not all(isinstance(m, Mapping) for m in messages):
            wanted = 'a list such as [{"role": "user", "content": "Hello"}]'
            raise UsageError(f"messages: got {messages!r:.80}, wanted {wanted}")
        return (template or self.chat_template).render(messages, add_generation_prompt, **kwargs)

    @property
    def activations(self) -> dict[str, tuple[int, ...]]:
        """What `capture` and `patch` know by name, and the shape of its values for one token.

        `blk.3.attn_q` is what the weight of that name makes, `blk.3.attn_q.rope` what becomes of
        it; `kqv_out` is attention before its projection, `ffn_out` what the feed-forward network
        gives, `l_out` the residual stream after a layer.
        """
        return {name: tensor.shape for name, tensor in self._hooks.activations.items()}

    def capture(self, *patterns: str) -> AbstractContextManager[Capture]:
        """Within the block, keep what tensors hold: `seen["blk.3.l_out"]` is (n_tokens, n_embd).

        `patterns` are names of `activations`, with wildcards (`blk.*.l_out`); UsageError for one
        that means none. There is a row for each token that is evaluated, whatever for, with what
        patches have made of it; a session does not evaluate again what it has read. Not a bit of
        what is computed changes.
        """
        return self._hooks.capture(patterns)

    def patch(self, changes: Mapping[str, Change]) -> AbstractContextManager[None]:
        """Within the block, compute something else than the file says; the file is not touched.

        For names of `activations`, with wildcards, a change is a function of values (n, *shape) and
        positions (n,): it gives others, or changes those it was given and gives None, and must not
        depend on how a text is cut into runs. For names of the file's tensors it is an array of the
        same shape, a QTensor, a function of the decoded weights, or a pair of arrays (b, a) such as
        LoRA has, for the weights plus b @ a. Blocks can be nested; inner ones come after. Raises
        UsageError; what a function raises ends the run.

        A block may begin and end while texts are written, by other threads too: each token is
        chosen by logits that the whole text before it has under the patches of one moment, as all
        of it is read again where they have come or gone. `logits` that are then being made of a
        long text end with a UsageError.
        """
        return self._hooks.patch(changes)

    @property
    def is_patched(self) -> bool:
        """Whether a block of `patch` is open."""
        return self._hooks.changing

    def timings(self) -> AbstractContextManager[Timings]:
        """Within the block, what each op of this model's runs costs; UsageError without kernels."""
        timed = getattr(self.executor, "timings", None)
        if timed is None:
            raise UsageError(
                "timings of ops: only the cpu backend has them, without layers on a device"
            )
        return timed()

    def close(self) -> None:
        """End the threads and give the file back; the model can not be used afterwards."""
        self._hooks.check_caller()
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._chat = self._chat_steps = None
            end = getattr(self.executor, "close", None)
            if end is not None:
                end()
            self.checkpoint.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    def __repr__(self) -> str:
        return f"<vatra model {self.path}: {self.plan.architecture}, context {self.n_ctx}>"

    def _sampling(self, sampling: Sampling | None, values: dict[str, Any]) -> Sampling:
        if not values:
            return self.sampling if sampling is None else sampling
        if sampling is None:
            return Sampling.from_metadata(self.metadata, self.path, **values)
        return sampling.changed(**values)
