"""The class `Llama`: a program for llama-cpp-python runs with another line of import."""

from __future__ import annotations

import fnmatch
import os
import random
from collections import deque
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from vatra.engine.executor import KVType
from vatra.engine.fields import read
from vatra.engine.llama.cache import LlamaState
from vatra.engine.llama.options import (
    RANDOM_SEED,
    UNSPECIFIED,
    kv_type,
    pooling,
    refuse,
)
from vatra.engine.llama.processors import listed
from vatra.engine.llama.writing import Writing, sampling
from vatra.engine.model import Model, load
from vatra.engine.offload.device import NoDevice
from vatra.engine.openai.answers import Answer, Head
from vatra.engine.openai.requests import ChatRequest, stops
from vatra.engine.sampling import Sampling
from vatra.engine.session import common_prefix
from vatra.engine.writing import Piece, grammar_of
from vatra.errors import MissingFile, UsageError, WrongArgument, printable
from vatra.formats import gguf, shelf
from vatra.formats import tokenizer as tokenizers
from vatra.formats.answers import Answer as Reader

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.session import Session
    from vatra.formats.chat_template import ChatTemplate

Array = np.ndarray
Response = dict[str, Any]

MODEL_TEMPLATE = "chat_template.default"  # the name of the file's own chat format


class Llama:
    """A model and one session of it, by the names and with the defaults of llama-cpp-python.

    An argument that would change results and is not supported raises WrongArgument, which is a
    UsageError and a ValueError; those of several GPUs, batches, memory mapping and messages are
    taken and do nothing. Where there is no graphics processor, or the KV cache is not f16,
    `n_gpu_layers` does nothing either; -1 is all. Logprobs and embeddings need no `logits_all` or
    `embedding`. `n_ctx` 0 is what the file says. `chat_format` None is the file's template.
    `chat_handler` answers chats instead.
    """

    def __init__(
        self,
        model_path: str | os.PathLike[str],
        *,
        n_gpu_layers: int = 0,
        split_mode: int = 1,
        main_gpu: int = 0,
        tensor_split: list[float] | None = None,
        vocab_only: bool = False,
        use_mmap: bool = True,
        use_mlock: bool = False,
        kv_overrides: Mapping[str, Any] | None = None,
        seed: int = RANDOM_SEED,
        n_ctx: int = 512,
        n_batch: int = 512,
        n_ubatch: int = 512,
        n_threads: int | None = None,
        n_threads_batch: int | None = None,
        rope_scaling_type: int | None = UNSPECIFIED,
        pooling_type: int = UNSPECIFIED,
        attention_type: int = UNSPECIFIED,
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        yarn_ext_factor: float = -1.0,
        yarn_attn_factor: float = 1.0,
        yarn_beta_fast: float = 32.0,
        yarn_beta_slow: float = 1.0,
        yarn_orig_ctx: int = 0,
        logits_all: bool = False,
        embedding: bool = False,
        offload_kqv: bool = True,
        flash_attn: bool = False,
        op_offload: bool | None = None,
        swa_full: bool | None = None,
        no_perf: bool = False,
        last_n_tokens_size: int = 64,
        lora_base: str | None = None,
        lora_scale: float = 1.0,
        lora_path: str | None = None,
        numa: bool | int = False,
        chat_format: str | None = None,
        chat_handler: Any = None,
        draft_model: Any = None,
        tokenizer: Any = None,
        type_k: int | None = None,
        type_v: int | None = None,
        spm_infill: bool = False,
        verbose: bool = True,
    ) -> None:
        refuse(locals())
        self.verbose, self.spm_infill, self.chat_handler = verbose, spm_infill, chat_handler
        self.last_n_tokens_size = last_n_tokens_size
        self.cache: Any = None
        self._pooling = pooling(pooling_type)
        self._logits_all = logits_all
        self._scores: tuple[tuple[int, ...], Array] | None = None  # of those tokens
        self.set_seed(seed)
        kv = kv_type(type_k, type_v)
        self._model: Model | None = None
        if vocab_only:
            checkpoint = gguf.read(shelf.find(os.fspath(model_path)))
            self._tokenizer = tokenizers.load(checkpoint)
            self.model_path = checkpoint.path
            keys: Mapping[str, Any] = checkpoint.metadata
            checkpoint.close()
        else:
            path = os.fspath(model_path)
            self._model = _loaded(
                path, n_gpu_layers, kv, threads=n_threads or None, ctx=n_ctx or None
            )
            self._tokenizer = self._model.tokenizer
            self.model_path, keys = self._model.path, self._model.metadata
        self.metadata = {key: _as_text(value) for key, value in keys.items() if _is_plain(value)}
        self._session: Session | None = None
        self.chat_format = chat_format or MODEL_TEMPLATE
        self._template = self._named_template()

    @property
    def model(self) -> Model:
        """The model as `vatra.load` gives it; UsageError if only the vocabulary was wanted."""
        if self._model is None:
            raise UsageError("this model was loaded with vocab_only=True: it has no weights")
        return self._model

    @property
    def session(self) -> Session:
        """The one session that all completions and chats use, one after the other."""
        if self._session is None:
            self._session = self.model.session()
        return self._session

    # Tokens

    def tokenize(self, text: bytes, add_bos: bool = True, special: bool = False) -> list[int]:
        """The ids of UTF-8 text; `add_bos` puts around it what the file says."""
        if not isinstance(text, (bytes, bytearray)):
            raise WrongArgument(f"text: got {type(text).__name__}, wanted bytes such as b'Hello'")
        plain = bytes(text).decode("utf-8", "replace")
        return self._tokenizer.encode(plain, bos=None if add_bos else False, special=special)

    def detokenize(
        self, tokens: Sequence[int], prev_tokens: Sequence[int] | None = None, special: bool = False
    ) -> bytes:
        """The bytes of tokens; control tokens are left out unless `special`.

        The space that some tokenizers put before a text is removed behind a first BOS.
        """
        t = self._tokenizer
        text = b"".join(t.piece(i) for i in tokens if special or not t.is_hidden(i))
        begins = len(tokens) and tokens[0] == self.token_bos()
        return text[1:] if begins and text.startswith(b" ") else text

    def tokenizer(self) -> LlamaTokenizer:
        """The tokenizer by itself."""
        return LlamaTokenizer(self)

    def n_ctx(self) -> int:
        """Tokens of context."""
        return self.model.n_ctx

    def n_embd(self) -> int:
        """Values of a token's vector."""
        return int(self.metadata[f"{self.metadata['general.architecture']}.embedding_length"])

    def n_vocab(self) -> int:
        """Tokens of the vocabulary."""
        return self._tokenizer.n_vocab if self._model is None else self._model.plan.n_vocab

    def token_bos(self) -> int:
        """The token that begins a text, -1 for none."""
        return _or_minus_one(self._tokenizer.bos_id)

    def token_eos(self) -> int:
        """The token that ends a text, -1 for none."""
        return _or_minus_one(self._tokenizer.eos_id)

    def token_nl(self) -> int:
        """The token of a new line, -1 for none."""
        ids = self._tokenizer.encode("\n", bos=False, special=False)
        return ids[-1] if ids and self._tokenizer.piece(ids[-1]) == b"\n" else -1

    # One token after another

    @property
    def n_tokens(self) -> int:
        """How many tokens have been evaluated."""
        return self.session.position

    @property
    def input_ids(self) -> Array:
        """The tokens that have been evaluated, intc (n_tokens,)."""
        return np.asarray(self.session.ids, np.intc)

    @property
    def eval_tokens(self) -> deque[int]:
        """The same as a deque."""
        return deque(self.session.ids, self.n_ctx())

    @property
    def scores(self) -> Array:
        """float32 (n_tokens, n_vocab): the logits after each token, evaluated when asked for."""
        ids = self.session.ids
        if self._scores is None or self._scores[0] != ids:
            self._scores = ids, self.model.logits(ids)
        return self._scores[1]

    @property
    def eval_logits(self) -> deque[list[float]]:
        """The logits after each token with `logits_all`, else after the last."""
        if self._logits_all:
            return deque(self.scores.tolist(), self.n_ctx())
        return deque([self._evaluated().logits.tolist()], 1)

    def reset(self) -> None:
        """Forget all tokens."""
        self.session.sync([])

    def eval(self, tokens: Sequence[int]) -> None:
        """Evaluate tokens behind those that have been."""
        self.session.sync([*self.session.ids, *tokens])

    def sample(
        self,
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_eta: float = 0.1,
        mirostat_tau: float = 5.0,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        grammar: Grammar | None = None,
        idx: int | None = None,
    ) -> int:
        """A token to follow those that have been evaluated; it is not evaluated itself."""
        if idx is not None and idx != self.n_tokens - 1:
            raise WrongArgument(f"idx: got {idx}, wanted {self.n_tokens - 1}, the last token")
        chosen = self._sampling(locals())
        return next(self._evaluated().generate(chosen, 1, grammar=grammar)).token

    def generate(
        self,
        tokens: Sequence[int],
        top_k: int = 40,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        temp: float = 0.80,
        repeat_penalty: float = 1.0,
        reset: bool = True,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        penalize_nl: bool = True,
        logits_processor: Any = None,
        stopping_criteria: Any = None,
        grammar: Grammar | None = None,
    ) -> Generator[int, Sequence[int] | None, None]:
        """The tokens that follow `tokens`, up to one that ends an answer, or a full context.

        Tokens that are sent to the generator are put behind the one it gave last. Without `reset`
        `tokens` are put behind those that have been evaluated.
        """
        given = locals()
        before = () if reset else self.session.ids
        following = [*before, *tokens]
        while following:
            chosen, criteria = self._sampling(given), listed(stopping_criteria)
            writing = Writing(self, following, chosen, grammar=grammar, criteria=criteria)
            following = []
            for step in writing.steps():
                sent = yield step.token
                if sent is not None:
                    following = [*self.session.timeline, *sent]
                    break

    # Completions

    def create_completion(
        self,
        prompt: str | Sequence[int],
        suffix: str | None = None,
        max_tokens: int | None = 16,
        temperature: float = 0.8,
        top_p: float = 0.95,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        logprobs: int | None = None,
        echo: bool = False,
        stop: str | Sequence[str] | None = (),
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        top_k: int = 40,
        stream: bool = False,
        seed: int | None = None,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        stopping_criteria: Any = None,
        logits_processor: Any = None,
        grammar: Grammar | None = None,
        logit_bias: Mapping[Any, float] | None = None,
    ) -> Response | Iterator[Response]:
        """The completion of `prompt`, text or tokens; with `stream` in parts, as it is written.

        `max_tokens` None, 0 or below is as many as the context holds. `suffix` is the text after
        the gap that the answer fills, which needs a model with tokens for that. `logprobs`
        alternatives come with each token. `model` is the name in the answer.
        """
        ids = self._infill(prompt, suffix) if suffix is not None else self._prompt(prompt)
        writing = Writing(
            self,
            ids,
            self._sampling(locals()),
            max_tokens,
            stops(stop or ()),
            logprobs,
            grammar,
            listed(stopping_criteria),
        )
        text = prompt if isinstance(prompt, str) else self._tokenizer.decode(prompt)
        answer = Answer(chat=False, logprobs=logprobs is not None, offset=len(text))
        if echo:
            answer.offset = 0
            answer.echo = Piece(text, tokens=writing.prompt_tokens())
        return writing.answered(Head(False, model or self.model_path), answer, stream)

    __call__ = create_completion

    def create_chat_completion(
        self,
        messages: Sequence[Mapping[str, Any]],
        functions: Sequence[Mapping[str, Any]] | None = None,
        function_call: Any = None,
        tools: Sequence[Mapping[str, Any]] | None = None,
        tool_choice: Any = None,
        temperature: float = 0.2,
        top_p: float = 0.95,
        top_k: int = 40,
        min_p: float = 0.05,
        typical_p: float = 1.0,
        stream: bool = False,
        stop: str | Sequence[str] | None = (),
        seed: int | None = None,
        response_format: Mapping[str, Any] | None = None,
        max_tokens: int | None = None,
        presence_penalty: float = 0.0,
        frequency_penalty: float = 0.0,
        repeat_penalty: float = 1.0,
        tfs_z: float = 1.0,
        mirostat_mode: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        model: str | None = None,
        logits_processor: Any = None,
        grammar: Grammar | None = None,
        logit_bias: Mapping[Any, float] | None = None,
        logprobs: bool | None = None,
        top_logprobs: int | None = None,
    ) -> Response | Iterator[Response]:
        """The answer to `messages`; with `stream` in parts, as it is written.

        Calls of `tools` are read from the answer. `tool_choice` "required", or the name of a
        function as {"type": "function", "function": {"name": ...}}, makes the answer a call.
        """
        if self.chat_handler is not None:
            given = {name: value for name, value in locals().items() if name != "self"}
            return self.chat_handler(llama=self, **given)
        chosen = self._sampling(locals())
        if functions is not None:
            tools = [{"type": "function", "function": function} for function in functions]
        if function_call is not None:
            by_name = isinstance(function_call, Mapping)
            tool_choice = {"function": function_call} if by_name else function_call
        asked = {"messages": messages, "tools": tools, "tool_choice": tool_choice, "stop": stop}
        asked |= {"response_format": response_format, "logprobs": logprobs}
        request = read(ChatRequest, asked | {"top_logprobs": top_logprobs})
        [wanted], [answer] = request.writings(), request.answers()
        template = self._template or self.model.chat_template
        ids, reader = self.model.chat_prompt(wanted.messages or (), wanted.tools, template)
        writing = Writing(
            self,
            ids,
            chosen,
            max_tokens,
            wanted.stop,
            wanted.logprobs,
            grammar_of(wanted.json, wanted.json_schema, None) or grammar,
            reader=Reader(stop=template.stop) if answer.choice.forced else reader,
        )
        return writing.answered(Head(True, model or self.model_path), answer, stream)

    def create_chat_completion_openai_v1(self, *args: Any, **kwargs: Any) -> Any:
        """`create_chat_completion` with objects of the package openai, if that is there."""
        try:
            types = import_module("openai.types.chat")
        except ImportError as error:
            raise ImportError("this needs another package: pip install openai") from error
        made = self.create_chat_completion(*args, **kwargs)
        if isinstance(made, dict):
            return types.ChatCompletion(**made)
        return (types.ChatCompletionChunk(**chunk) for chunk in made)

    # Vectors

    def create_embedding(self, input: str | list[str], model: str | None = None) -> Response:
        """The vectors of texts in the shape of OpenAI's API."""
        texts = [input] if isinstance(input, str) else input
        vectors, n_tokens = self.embed(texts, return_count=True)
        data = [
            {"object": "embedding", "embedding": vector, "index": i}
            for i, vector in enumerate(vectors)
        ]
        return {
            "object": "list",
            "data": data,
            "model": model or self.model_path,
            "usage": {"prompt_tokens": n_tokens, "total_tokens": n_tokens},
        }

    def embed(
        self,
        input: str | list[str],
        normalize: bool = False,
        truncate: bool = True,
        return_count: bool = False,
    ) -> Any:
        """A vector for each text, or one for each of its tokens where nothing says how to pool.

        `truncate` cuts texts that are longer than the context.
        """
        texts = [input] if isinstance(input, str) else input
        if truncate:
            texts = [self._truncated(text) for text in texts]
        how = self._pooling or self.model.pooling.kind or "none"
        found: list[Any]
        if how == "none":
            found = [self.model.token_embeddings(text) for text in texts]
            if normalize:
                found = [v / np.linalg.norm(v, axis=-1, keepdims=True).clip(1e-30) for v in found]
            found = [vectors.tolist() for vectors in found]
        else:
            found = self.model.embed(texts, pooling=how, normalise=normalize).tolist()
        output = found[0] if isinstance(input, str) else found
        if not return_count:
            return output
        return output, sum(len(self.tokenize(text.encode())) for text in texts)

    def pooling_type(self) -> int:
        """The number of the pooling that was asked for, -1 for what the file says."""
        names = {None: UNSPECIFIED, "none": 0, "mean": 1, "cls": 2, "last": 3}
        return names[self._pooling]

    # States

    def save_state(self) -> LlamaState:
        """All that the session has read, to come back to by `load_state`."""
        return LlamaState(self.session.snapshot(), self._seed)

    def load_state(self, state: LlamaState) -> None:
        """Go back to what `save_state` gave, of this model and a context of this length."""
        self.session.restore(state.snapshot)
        self._set_seed(state.seed)

    def set_cache(self, cache: Any) -> None:
        """Where states after completions are kept, None for nowhere: see `LlamaRAMCache`."""
        self.cache = cache

    def recall(self, ids: list[int]) -> None:
        """Go back to the state in the cache that knows more of `ids` than the session does."""
        if self.cache is not None and ids in self.cache:
            state = self.cache[ids]
            if common_prefix(state.snapshot.ids, ids) > common_prefix(self.session.ids, ids):
                self.session.restore(state.snapshot)

    def remember(self) -> None:
        """Keep the state in the cache, if there is one."""
        if self.cache is not None:
            self.cache[self.session.ids] = self.save_state()

    def set_seed(self, seed: int) -> None:
        """Begin the random numbers again; below 0 and 0xFFFFFFFF they are others each time."""
        self._set_seed(None if seed < 0 or seed == RANDOM_SEED else seed)

    def close(self) -> None:
        """Give everything back; the model can not be used afterwards."""
        self._session = None
        if self._model is not None:
            self._model.close()

    def __enter__(self) -> Llama:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> Literal[False]:
        self.close()
        return False

    @staticmethod
    def logits_to_logprobs(logits: Array | list[float], axis: int = -1) -> Array:
        """log softmax of `logits` along an axis, float32."""
        x = np.asarray(logits, np.float32)
        highest = x.max(axis=axis, keepdims=True)
        x = x - np.where(np.isfinite(highest), highest, 0)
        with np.errstate(divide="ignore"):
            out: Array = x - np.log(np.exp(x).sum(axis=axis, keepdims=True))
        return out

    @staticmethod
    def longest_token_prefix(a: Sequence[int], b: Sequence[int]) -> int:
        """How many tokens two texts have in common at their beginning."""
        return common_prefix(a, b)

    @classmethod
    def from_pretrained(
        cls,
        repo_id: str,
        filename: str | None = None,
        additional_files: list[str] | None = None,
        local_dir: str | os.PathLike[str] | None = None,
        local_dir_use_symlinks: bool | str = "auto",
        cache_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Llama:
        """The model of a repository that is on this machine; nothing is fetched.

        `filename` may be a pattern such as "*Q4_K_M.gguf". It is looked for in `local_dir`, else
        where `vatra list` looks. Raises MissingFile with the command that fetches it.
        """
        pattern = filename or "*.gguf"
        if local_dir is not None:
            paths = [p for p in Path(local_dir).rglob("*.gguf") if fnmatch.fnmatch(p.name, pattern)]
        else:
            paths = [
                entry.path
                for entry in shelf.models()
                if entry.repo.casefold() == repo_id.casefold()
                and any(fnmatch.fnmatch(str(entry.path)[-n:], pattern) for n in _ends(entry.path))
            ]
        paths = list(dict.fromkeys(paths))
        if not paths:
            where = str(local_dir) if local_dir is not None else "this machine"
            raise MissingFile(
                f"{printable(repo_id)}: no file {printable(pattern)} on {printable(where)}; "
                f"`vatra pull hf:{printable(repo_id)}` gets one from Hugging Face"
            )
        if len(paths) > 1:
            names = ", ".join(printable(p.name) for p in paths[:8])
            raise WrongArgument(f"filename: {printable(pattern)} may be any of {names}")
        return cls(paths[0], **kwargs)

    # Parts of the above

    def _prompt(self, prompt: str | Sequence[int]) -> list[int]:
        if isinstance(prompt, str):
            return self._tokenizer.encode(prompt)
        try:
            return list(prompt)
        except TypeError:
            wanted = "a text, or a list of token ids"
            raise WrongArgument(f"prompt: got {prompt!r:.60}, wanted {wanted}") from None

    def _infill(self, prompt: str | Sequence[int], suffix: str) -> list[int]:
        """The tokens before and after a gap, in the order that the model has learned."""
        role = self._tokenizer.vocabulary.role
        if not {"fim_pre", "fim_suf", "fim_mid"} <= set(role):
            raise WrongArgument("suffix: this model has no tokens for filling a gap in a text")
        encode = self._tokenizer.encode
        text = encode(prompt, bos=False, special=False) if isinstance(prompt, str) else prompt
        before = [role["fim_pre"], *text]
        after = [role["fim_suf"], *encode(suffix, bos=False, special=False)]
        both = after + before if self.spm_infill else before + after
        bos = [self.token_bos()] if self._tokenizer.add_bos else []
        return [*bos, *both, role["fim_mid"]]

    def _sampling(self, given: Mapping[str, Any]) -> Sampling:
        """That of the arguments of a method."""
        seed = given.get("seed")
        if seed is not None:
            self.set_seed(seed)
        chosen = self._seed if seed is not None else self._next_seed()
        last_n = self.last_n_tokens_size
        return sampling(given, n_vocab=self.n_vocab(), seed=chosen, penalty_last_n=last_n)

    def _set_seed(self, seed: int | None) -> None:
        self._seed = seed
        self._seeds = random.Random(seed)

    def _next_seed(self) -> int | None:
        """That of the next answer, which follows from the seed that was set."""
        return None if self._seed is None else self._seeds.getrandbits(32)

    def _evaluated(self) -> Session:
        """The session without a token that is chosen but not evaluated."""
        self.session.sync(self.session.ids)
        return self.session

    def _truncated(self, text: str) -> str:
        """`text` with as many tokens as the context holds."""
        n = self.n_ctx()
        ids = self.tokenize(text.encode("utf-8", "replace"))
        while len(ids) > self.n_ctx():
            text = self._tokenizer.decode(ids[:n])
            ids, n = self.tokenize(text.encode()), n - 1
        return text

    def _named_template(self) -> ChatTemplate | None:
        """The template that `chat_format` names, None for the file's own."""
        if self.chat_format == MODEL_TEMPLATE:
            return None
        from vatra.formats.chat_formats import CHAT_FORMATS
        from vatra.formats.chat_template import ChatTemplate, control_texts

        if self.chat_format not in CHAT_FORMATS:
            known = ", ".join([MODEL_TEMPLATE, *CHAT_FORMATS])
            raise WrongArgument(f"chat_format: got {self.chat_format!r}, wanted one of {known}")
        source, stop = CHAT_FORMATS[self.chat_format]
        control = control_texts(self._tokenizer)
        return ChatTemplate(source, control=control, path=self.chat_format, stop=stop)


class LlamaTokenizer:
    """The tokenizer of a `Llama`."""

    def __init__(self, llama: Llama) -> None:
        self.tokenize, self.detokenize = llama.tokenize, llama.detokenize

    def encode(self, text: str, add_bos: bool = True, special: bool = True) -> list[int]:
        """The ids of a text."""
        return self.tokenize(text.encode("utf-8", "ignore"), add_bos, special)

    def decode(self, tokens: Sequence[int]) -> str:
        """The text of ids."""
        return self.detokenize(tokens).decode("utf-8", "ignore")


def _loaded(path: str, n_gpu_layers: int, kv: KVType, **options: Any) -> Model:
    """The model; with layers on a graphics processor where there is one, all for -1."""
    if n_gpu_layers and kv == "f16":
        wanted = "all" if n_gpu_layers < 0 else n_gpu_layers
        with suppress(NoDevice):
            return load(path, kv=kv, gpu_layers=wanted, **options)
    return load(path, kv=kv, **options)


def _or_minus_one(token: int | None) -> int:
    return -1 if token is None else token


def _is_plain(value: Any) -> bool:
    return isinstance(value, (str, int, float, np.generic))


def _as_text(value: Any) -> str:
    """A value of the metadata as llama.cpp writes it."""
    if isinstance(value, (bool, np.bool_)):
        return "true" if value else "false"
    return f"{value:f}" if isinstance(value, (float, np.floating)) else str(value)


def _ends(path: Path) -> Iterator[int]:
    """Lengths of the ends of a path that begin with a name: a pattern may have folders in it."""
    length = len(str(path))
    return (length - i for i, c in enumerate(str(path)) if i == 0 or str(path)[i - 1] in "/\\")
