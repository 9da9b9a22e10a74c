"""Programs for llama-cpp-python, which run as they are but for their line of import.

The shapes of answers are those of its `llama_types`, their numbers are compared with `vatra.Model`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra import (
    Llama,
    LlamaRAMCache,
    LogitsProcessorList,
    MinTokensLogitsProcessor,
    StoppingCriteriaList,
)
from vatra.errors import WrongArgument

PROMPT = "Once upon a time"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
PARIS = "The capital of France is Paris."
TOOL = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather of a place.",
        "parameters": {
            "type": "object",
            "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
            "required": ["days"],
            "additionalProperties": False,
        },
    },
}
COMPLETION = {"id", "object", "created", "model", "choices"}
USAGE = {"prompt_tokens", "completion_tokens", "total_tokens"}
LOGPROBS = {"text_offset", "token_logprobs", "tokens", "top_logprobs"}
CHAT_TOKEN = {"token", "logprob", "bytes", "top_logprobs"}


@pytest.fixture(scope="module")
def llm(spark: Path) -> Iterator[Llama]:
    with Llama(model_path=str(spark), n_ctx=256, n_gpu_layers=-1, seed=7, verbose=False) as llm:
        yield llm


def text_of(chunks: Any) -> str:
    return "".join(chunk["choices"][0]["text"] for chunk in chunks)


# Completions


def test_a_completion(llm: Llama, spark: Path) -> None:
    output: Any = llm(PROMPT, max_tokens=8, temperature=0, echo=True)
    assert set(output) == COMPLETION | {"usage"}
    assert output["object"] == "text_completion" and output["id"].startswith("cmpl-")
    assert output["model"] == str(spark)
    (choice,) = output["choices"]
    assert set(choice) == {"text", "index", "logprobs", "finish_reason"}
    wanted = "".join(s.text for s in llm.model.generate(PROMPT, temperature=0, max_tokens=8))
    assert choice["text"] == PROMPT + wanted
    assert (choice["finish_reason"], choice["index"], choice["logprobs"]) == ("length", 0, None)
    n = len(llm.tokenize(PROMPT.encode()))
    assert output["usage"] == {
        "prompt_tokens": n, "completion_tokens": 8, "total_tokens": n + 8
    }  # fmt: skip
    assert len(llm.tokenize(b"x")) > 1  # with what begins a text
    assert llm(llm.tokenize(PROMPT.encode()), max_tokens=8, temperature=0)["choices"][0][  # type: ignore[index]
        "text"
    ] == wanted  # fmt: skip
    default: Any = llm.create_completion(PROMPT)
    assert default["usage"]["completion_tokens"] == 16


def test_parts_are_together_the_whole(llm: Llama) -> None:
    given: dict[str, Any] = {"max_tokens": 30, "seed": 5, "stop": [" named", "zzz"], "logprobs": 2}
    whole: Any = llm(PROMPT, **given)
    parts: list[Any] = list(llm(PROMPT, stream=True, **given))
    assert text_of(parts) == whole["choices"][0]["text"]
    assert " named" not in text_of(parts)
    assert [p["choices"][0]["finish_reason"] for p in parts[-2:]] == [None, "stop"]
    assert all(set(p) == COMPLETION and p["id"] == parts[0]["id"] for p in parts)
    together: dict[str, list[Any]] = {name: [] for name in LOGPROBS}
    for part in parts:
        for name, values in (part["choices"][0]["logprobs"] or {}).items():
            together[name] += values
    assert together == whole["choices"][0]["logprobs"]
    assert whole["usage"]["completion_tokens"] == len(together["tokens"])
    assert whole["choices"][0]["finish_reason"] == "stop"


def test_logprobs_are_those_of_the_model(llm: Llama) -> None:
    output: Any = llm(PROMPT, max_tokens=4, temperature=0, logprobs=2, echo=True)
    choice = output["choices"][0]
    found = choice["logprobs"]
    assert set(found) == LOGPROBS
    assert "".join(found["tokens"]) == choice["text"]
    assert found["text_offset"] == [
        len("".join(found["tokens"][:i])) for i in range(len(found["tokens"]))
    ]
    ids = llm.tokenize(PROMPT.encode())
    n = len(ids)
    ids += [s.token for s in llm.model.generate(ids, temperature=0, max_tokens=4)]
    wanted = Llama.logits_to_logprobs(llm.model.logits(ids))
    assert found["token_logprobs"][0] is None and found["top_logprobs"][0] is None
    for at, logprob in enumerate(found["token_logprobs"][1:], 1):
        # Those of the prompt are evaluated in float32, as these are.
        bound = 1e-5 if at < n - 1 else 0.2
        assert logprob == pytest.approx(wanted[at, ids[at + 1]], abs=bound)
        assert len(found["top_logprobs"][at]) in (2, 3)
        assert found["top_logprobs"][at][found["tokens"][at]] == logprob
    plain: Any = llm(PROMPT, max_tokens=4, temperature=0, logprobs=0)
    assert plain["choices"][0]["logprobs"]["token_logprobs"] == pytest.approx(
        found["token_logprobs"][-4:], abs=1e-9
    )
    assert plain["choices"][0]["logprobs"]["text_offset"][0] == len(PROMPT)


def test_seeds(llm: Llama) -> None:
    def said(**given: Any) -> str:
        output: Any = llm(PROMPT, max_tokens=12, temperature=1.5, **given)
        return output["choices"][0]["text"]

    assert said(seed=3) == said(seed=3) != said(seed=4)
    llm.set_seed(11)
    first = [said(), said()]
    llm.set_seed(11)
    assert [said(), said()] == first
    assert first[0] != first[1]


def test_chosen_by_functions_of_the_program(llm: Llama) -> None:
    seen: list[int] = []
    fox = llm.tokenize(b" fox", add_bos=False)[0]

    def only_fox(input_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
        assert input_ids.dtype == np.intc and scores.shape == (llm.n_vocab(),)
        seen.append(len(input_ids))
        scores[:] = -np.inf
        scores[fox] = 0
        return scores

    n = len(llm.tokenize(PROMPT.encode()))

    def after_three(input_ids: np.ndarray, logits: np.ndarray) -> bool:
        assert logits.shape == (llm.n_vocab(),)
        return len(input_ids) >= n + 3

    output: Any = llm(
        PROMPT,
        logits_processor=LogitsProcessorList([only_fox]),
        stopping_criteria=StoppingCriteriaList([after_three]),
    )
    assert output["choices"][0]["text"] == llm.detokenize([fox] * 3).decode()
    assert output["choices"][0]["finish_reason"] == "stop"
    assert seen == [n, n + 1, n + 2]
    biased: Any = llm(PROMPT, max_tokens=2, temperature=0, logit_bias={str(fox): 100})
    assert biased["choices"][0]["text"] == llm.detokenize([fox] * 2).decode()
    ids, ends = llm.model.chat_ids(QUESTION), llm.model.tokenizer.eog_ids
    longer: Any = llm(
        ids,
        max_tokens=20,
        temperature=0,
        logits_processor=[MinTokensLogitsProcessor(15, end) for end in ends],
    )
    assert longer["usage"]["completion_tokens"] >= 15


def test_what_is_too_long(llm: Llama) -> None:
    long = llm.tokenize(PROMPT.encode() * 100)
    with pytest.raises(ValueError, match="256"):
        llm(long)
    room = llm.n_ctx() - 200
    output: Any = llm(long[:200], max_tokens=-1, logit_bias={i: -1e5 for i in (2, 4)})
    assert output["choices"][0]["finish_reason"] == "length"
    assert output["usage"]["completion_tokens"] in (room, room + 1)  # the last needs no evaluation


# Chats


def test_a_chat(llm: Llama) -> None:
    output: Any = llm.create_chat_completion(
        QUESTION, temperature=0, logprobs=True, top_logprobs=2, tools=[TOOL], tool_choice="auto"
    )
    assert set(output) == COMPLETION | {"usage"} and set(output["usage"]) == USAGE
    assert output["object"] == "chat.completion" and output["id"].startswith("chatcmpl-")
    (choice,) = output["choices"]
    assert set(choice) == {"index", "message", "logprobs", "finish_reason"}
    assert choice["message"] == {"role": "assistant", "content": PARIS}
    assert choice["finish_reason"] == "stop"
    content = choice["logprobs"]["content"]
    assert all(set(token) == CHAT_TOKEN and len(token["top_logprobs"]) == 2 for token in content)
    assert b"".join(bytes(token["bytes"]) for token in content).decode() == PARIS
    assert output["usage"]["prompt_tokens"] == len(llm.model.chat_ids(QUESTION))
    assert output["usage"]["completion_tokens"] == len(content)


def test_parts_of_a_chat(llm: Llama) -> None:
    parts: list[Any] = list(llm.create_chat_completion(QUESTION, temperature=0, stream=True))
    choices = [part["choices"][0] for part in parts]
    assert all(set(part) == COMPLETION for part in parts)
    assert {part["object"] for part in parts} == {"chat.completion.chunk"}
    assert choices[0]["delta"] == {"role": "assistant"}
    assert "".join(c["delta"]["content"] for c in choices[1:-1]) == PARIS
    assert choices[-1]["delta"] == {} and choices[-1]["finish_reason"] == "stop"
    assert {c["finish_reason"] for c in choices[:-1]} == {None}


def test_a_call_of_a_tool_is_read_from_the_answer(llm: Llama, monkeypatch: Any) -> None:
    from vatra.formats.answer_syntax import syntax_of
    from vatra.formats.answers import Answer

    written = '<tool_call>\n{"name": "weather", "arguments": {"days": 3}}\n</tool_call>'
    syntax = syntax_of("<tool_call>\n{{ tool_call.arguments | tojson }} </tool_call>")

    def prompt(*_: Any, **__: Any) -> Any:
        return llm.tokenize(b"x"), Answer(syntax, [TOOL])

    monkeypatch.setattr(llm.model, "chat_prompt", prompt)
    ids = [*llm.tokenize(written.encode(), add_bos=False), llm.token_eos()]

    def forced(input_ids: np.ndarray, scores: np.ndarray) -> np.ndarray:
        scores[:] = -np.inf
        scores[ids[len(input_ids) - len(llm.tokenize(b"x"))]] = 0
        return scores

    output: Any = llm.create_chat_completion(QUESTION, tools=[TOOL], logits_processor=forced)
    choice = output["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    (call,) = choice["message"]["tool_calls"]
    assert call["type"] == "function" and call["id"]
    assert call["function"] == {"name": "weather", "arguments": '{"days": 3}'}
    parts: list[Any] = list(
        llm.create_chat_completion(QUESTION, tools=[TOOL], logits_processor=forced, stream=True)
    )
    (delta,) = [p["choices"][0]["delta"] for p in parts if "tool_calls" in p["choices"][0]["delta"]]
    assert delta["tool_calls"] == [{"index": 0, **call}]
    assert parts[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_json_and_forced_calls(llm: Llama) -> None:
    schema = TOOL["function"]["parameters"]  # type: ignore[index]
    output: Any = llm.create_chat_completion(
        QUESTION, response_format={"type": "json_object", "schema": schema}, max_tokens=60
    )
    assert 1 <= json.loads(output["choices"][0]["message"]["content"])["days"] <= 9
    for choice in ({"type": "function", "function": {"name": "weather"}}, "required"):
        given: dict[str, Any] = {
            "tools": [TOOL], "tool_choice": choice, "seed": 1, "max_tokens": 200
        }  # fmt: skip
        output = llm.create_chat_completion(QUESTION, **given)
        message = output["choices"][0]["message"]
        assert message["content"] is None
        (call,) = message["tool_calls"]
        assert call["function"] == message["function_call"]
        assert call["function"]["name"] == "weather"
        assert 1 <= json.loads(call["function"]["arguments"])["days"] <= 9
        assert output["choices"][0]["finish_reason"] == "tool_calls"
        parts: list[Any] = list(llm.create_chat_completion(QUESTION, stream=True, **given))
        calls = [c for p in parts for c in p["choices"][0]["delta"].get("tool_calls") or ()]
        streamed = "".join(c["function"]["arguments"] for c in calls)
        assert streamed == call["function"]["arguments"]
    grammar = vatra.LlamaGrammar.from_string('root ::= "yes" | "no"', verbose=False)
    answer: Any = llm(PROMPT, grammar=grammar)
    assert answer["choices"][0]["text"] in ("yes", "no")


def test_other_ways_to_chat(spark: Path) -> None:
    def handler(*, llama: Llama, messages: Any, **given: Any) -> Any:
        assert given["temperature"] == 0.2
        return llama.create_completion(messages[0]["content"], max_tokens=2)

    with Llama(spark, chat_handler=handler) as llm:
        output: Any = llm.create_chat_completion(QUESTION)
        assert output["usage"]["completion_tokens"] == 2
    with Llama(spark, chat_format="chatml") as llm:
        output = llm.create_chat_completion(QUESTION, temperature=0)
        assert output["choices"][0]["message"]["content"]
    with pytest.raises(WrongArgument, match="chat_format: got 'nonsense'"):
        Llama(spark, chat_format="nonsense")


def test_the_tokens_around_a_gap(llm: Llama, monkeypatch: pytest.MonkeyPatch) -> None:
    roles = {"fim_pre": 11, "fim_suf": 12, "fim_mid": 13}
    for role, token in roles.items():
        monkeypatch.setitem(llm.model.tokenizer.vocabulary.role, role, token)
    read: list[int] = []

    def look(input_ids: np.ndarray, scores: np.ndarray) -> bool:
        read[:] = input_ids.tolist()
        return True

    before, after = (llm.tokenize(text, add_bos=False) for text in (b"The cat", b"the mat."))
    for spm, wanted in (
        (False, [1, 11, *before, 12, *after, 13]),
        (True, [1, 12, *after, 11, *before, 13]),
    ):
        monkeypatch.setattr(llm, "spm_infill", spm)
        llm("The cat", suffix="the mat.", stopping_criteria=[look])
        assert read == wanted


# Tokens one by one


def test_tokens(llm: Llama) -> None:
    ids = llm.tokenize(b"Hello <|im_end|>")
    assert ids[0] == llm.token_bos() and llm.model.tokenizer.eot_id not in ids
    assert llm.detokenize(ids) == b"Hello <|im_end|>"
    special = llm.tokenize(b"Hello <|im_end|>", add_bos=False, special=True)
    assert special[-1] == llm.model.tokenizer.eot_id
    assert llm.detokenize(special) == b"Hello "
    assert llm.detokenize(special, special=True) == b"Hello <|im_end|>"
    assert llm.tokenizer().decode(llm.tokenizer().encode("na\u00efve \U0001f525")) == (
        "na\u00efve \U0001f525"
    )
    assert (llm.n_vocab(), llm.n_ctx(), llm.n_embd()) == (4096, 256, 256)
    assert llm.detokenize([llm.token_nl()]) == b"\n"
    assert llm.metadata["llama.block_count"] == "8"
    assert "tokenizer.ggml.tokens" not in llm.metadata


def test_a_loop_of_eval_and_sample(llm: Llama) -> None:
    ids = llm.tokenize(PROMPT.encode())
    wanted = llm.model.generate(ids, temperature=0, max_tokens=10)
    llm.reset()
    llm.eval(ids)
    found = []
    for _ in range(10):
        token = llm.sample(temp=0.0)
        assert token == llm.sample(temp=0.0)  # which evaluates nothing
        found.append(token)
        llm.eval([token])
    assert found == [step.token for step in wanted]
    assert llm.input_ids.tolist() == [*ids, *found] == list(llm.eval_tokens)
    np.testing.assert_allclose(llm.eval_logits[-1], llm.scores[-1], atol=0.2)
    assert llm.scores.shape == (llm.n_tokens, llm.n_vocab())


def test_a_loop_of_generate(llm: Llama) -> None:
    ids = llm.tokenize(PROMPT.encode())
    tokens = llm.generate(ids, temp=0)
    first = [next(tokens) for _ in range(3)]
    assert first == [s.token for s in llm.model.generate(ids, temperature=0, max_tokens=3)]
    more = llm.tokenize(b". The dog", add_bos=False)
    following = [*ids, *first, *more]
    wanted = llm.model.generate(following, temperature=0, max_tokens=2)
    assert [tokens.send(more), next(tokens)] == [s.token for s in wanted]
    ended = list(llm.generate(llm.model.chat_ids(QUESTION), temp=0))
    assert llm.detokenize(ended).decode() == PARIS
    assert ended[-1] in llm.model.tokenizer.eog_ids


def test_states(llm: Llama, spark: Path) -> None:
    llm(PROMPT, max_tokens=5, temperature=0)
    state = llm.save_state()
    following = list(islice(llm.generate([], reset=False, temp=0), 10))
    llm("Something else", max_tokens=5)
    llm.load_state(state)
    assert llm.n_tokens == state.n_tokens == len(state.input_ids)
    assert list(islice(llm.generate([], reset=False, temp=0), 10)) == following
    with Llama(spark, n_ctx=128) as other, pytest.raises(vatra.UsageError, match="another length"):
        other.load_state(state)


def test_a_cache_of_states(llm: Llama) -> None:
    cache = LlamaRAMCache(capacity_bytes=3 << 20)
    llm.set_cache(cache)
    first: Any = llm(PROMPT, max_tokens=30, temperature=0)
    llm("One day", max_tokens=3)
    again: Any = llm(PROMPT, max_tokens=30, temperature=0)
    llm.set_cache(None)
    assert again["choices"] == first["choices"]
    assert llm.session.statistics.prompt_tokens <= 1  # all others came from the cache
    assert llm.tokenize(b"One day") in cache
    assert 0 < cache.cache_size <= cache.capacity_bytes
    with pytest.raises(KeyError):
        cache[[9, 9, 9]]


# The model


def test_only_the_vocabulary(spark: Path) -> None:
    llm = Llama(spark, vocab_only=True)
    assert llm.detokenize(llm.tokenize(b"Hello")) == b"Hello"
    assert llm.n_vocab() == 4096
    with pytest.raises(vatra.UsageError, match="vocab_only"):
        llm("Hello")
    llm.close()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"lora_path": "a.bin"}, "lora_path"),
        ({"rope_freq_base": 1e6}, "rope_freq_base"),
        ({"rope_scaling_type": 2}, "rope_scaling_type"),
        ({"yarn_ext_factor": 1.0}, "yarn_ext_factor"),
        ({"kv_overrides": {"llama.block_count": 2}}, "kv_overrides"),
        ({"draft_model": print}, "draft_model"),
        ({"tokenizer": print}, "tokenizer"),
        ({"type_k": 8}, "type_k, type_v: got 8 and 1"),
        ({"type_k": 12, "type_v": 12}, "type_k, type_v: got 12"),
        ({"pooling_type": 9}, "pooling_type"),
        ({"n_threads": -3}, "threads"),
    ],
)
def test_what_is_not_done_is_refused(spark: Path, given: dict[str, Any], message: str) -> None:
    with pytest.raises(vatra.UsageError, match=message):
        Llama(spark, **given)


def test_wrong_values_name_the_argument(llm: Llama) -> None:
    wrong: tuple[tuple[str, dict[str, Any]], ...] = (
        ("suffix", {"suffix": " end"}),
        ("tfs_z", {"tfs_z": 0.5}),
        ("logprobs", {"logprobs": -1}),
        ("top_p", {"top_p": 2.0}),
        ("stop", {"stop": [""]}),
        ("temperature", {"temperature": "hot"}),
        ("max_tokens", {"max_tokens": "5"}),
        ("grammar", {"grammar": "root ::= [a-z]+"}),
        ("logit_bias", {"logit_bias": {"abc": 1}}),
        (r"shape \(3,\)", {"logits_processor": lambda ids, scores: scores[:3]}),
    )
    for message, given in wrong:
        with pytest.raises(vatra.UsageError, match=message):
            llm(PROMPT, **given)
    with pytest.raises(ValueError, match="bytes"):
        llm.tokenize("text")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="prompt"):
        llm(5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tools\[0\]"):
        llm.create_chat_completion(QUESTION, tools=[{"name": "weather"}])
    with pytest.raises(ValueError, match="tool_choice"):
        llm.create_chat_completion(QUESTION, tools=[TOOL], tool_choice={"name": "other"})
    with pytest.raises(ValueError, match="response_format"):
        llm.create_chat_completion(QUESTION, response_format={"type": "xml"})


def test_kept_in_other_precisions(spark: Path) -> None:
    for type_, kv in ((0, "f32"), (1, "f16"), (8, "q8_0")):
        with Llama(spark, n_ctx=0, type_k=type_, type_v=type_) as llm:
            assert llm.model.kv == kv
            assert llm.n_ctx() == 2048  # what the file says


def test_vectors(llm: Llama, spark: Path) -> None:
    texts = ["The cat sat.", "A dog ran."]
    each = llm.embed(texts[0])
    assert np.shape(each) == (len(llm.tokenize(texts[0].encode())), 256)
    with Llama(spark, embedding=True, pooling_type=1) as mean:
        made = mean.create_embedding(texts, model="spark")
        assert set(made) == {"object", "data", "model", "usage"} and made["model"] == "spark"
        assert [set(d) for d in made["data"]] == [{"object", "embedding", "index"}] * 2
        n = sum(len(llm.tokenize(text.encode())) for text in texts)
        assert made["usage"] == {"prompt_tokens": n, "total_tokens": n}
        np.testing.assert_allclose(made["data"][0]["embedding"], np.mean(each, 0), atol=1e-3)
        assert math.isclose(np.linalg.norm(mean.embed(texts[0], normalize=True)), 1, rel_tol=1e-5)
        assert np.shape(mean.embed("word " * 2000)) == (256,)
        with pytest.raises(vatra.ContextFull):
            mean.embed("word " * 2000, truncate=False)


def test_a_file_of_a_repository(
    spark: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "toy-Q8_0.gguf").symlink_to(spark)
    with Llama.from_pretrained("me/toy", "*Q8_0.gguf", local_dir=tmp_path) as llm:
        assert llm.model_path.endswith("toy-Q8_0.gguf")
    snapshot = tmp_path / "hub" / "models--me--toy" / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "toy-Q8_0.gguf").symlink_to(spark)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with Llama.from_pretrained("me/toy", filename="*q8_0.gguf".upper().replace("GGUF", "gguf")):
        pass
    with pytest.raises(vatra.MissingFile, match="vatra pull hf:me/toy"):
        Llama.from_pretrained("me/toy", "*Q4_0.gguf")


def test_static_functions() -> None:
    logits = np.random.default_rng(0).normal(size=(3, 50)).astype(np.float32)
    for axis in (-1, 0):
        shares = np.exp(logits.astype(np.float64))
        wanted = np.log(shares / shares.sum(axis, keepdims=True))
        np.testing.assert_allclose(Llama.logits_to_logprobs(logits, axis), wanted, atol=1e-6)
    assert Llama.longest_token_prefix([1, 2, 3], [1, 2, 4, 5]) == 2
