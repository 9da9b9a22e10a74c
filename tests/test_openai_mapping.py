"""One table of requests goes to the server, into a file of `vatra batch` and to `Llama`.

All three read a request by the same rules, write the same answer, and say the same of a mistake.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncGenerator, Iterator, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from fake_workers import FakeWorkers
from openai import OpenAI
from running_server import Running, running

import vatra
from vatra.cli import batch_lines
from vatra.cli.app import main
from vatra.cli.batch_lines import Line
from vatra.engine.batch import Batch
from vatra.engine.batch_answers import Job
from vatra.engine.fields import read
from vatra.engine.openai.requests import REQUESTS, SAMPLING, ChatRequest, CompletionRequest
from vatra.engine.writing import Begun, Piece, Writing, ended, job_of, piece
from vatra.server.jobs import Event

CHAT, TEXT = "/v1/chat/completions", "/v1/completions"
QUESTION = {"role": "user", "content": "What is the capital of France?"}
SCHEMA = {"type": "object", "properties": {"days": {"type": "integer", "minimum": 1, "maximum": 9}},
          "required": ["days"], "additionalProperties": False}  # fmt: skip
TOOL = {"type": "function", "function": {"name": "weather", "parameters": SCHEMA}}
CALL = {"id": "abcdefghi", "type": "function",
        "function": {"name": "weather", "arguments": '{"days": 3}'}}  # fmt: skip


def called(**changed: Any) -> dict[str, Any]:
    """Messages with a call of a tool, some of its fields others; None takes one away."""
    call = {k: v for k, v in (CALL | changed).items() if v is not None}
    return {"messages": [QUESTION, {"role": "assistant", "content": None, "tool_calls": [call]}]}


GOOD: list[tuple[str, dict[str, Any]]] = [
    (CHAT, {}),
    (CHAT, {"logprobs": True}),
    (CHAT, {"logprobs": True, "top_logprobs": 3}),
    (CHAT, {"stop": " of"}),
    (CHAT, {"stop": ["Paris", "zzz"], "logprobs": True, "top_logprobs": 1}),
    (CHAT, {"max_tokens": 3}),
    (CHAT, {"stop": None, "tools": None, "response_format": {"type": "text"}}),
    (CHAT, {"response_format": {"type": "json_object"}}),
    (CHAT, {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}}),
    (CHAT, {"tools": [TOOL]}),
    (CHAT, {"tools": [TOOL], "tool_choice": "none"}),
    (CHAT, {"tools": [TOOL], "tool_choice": "required"}),
    (CHAT, {"tools": [TOOL], "tool_choice": "required", "max_tokens": 4}),
    (CHAT, {"tools": [TOOL], "tool_choice": {"type": "function", "function": {"name": "weather"}}}),
    (CHAT, {"messages": [{"role": "developer", "content": "Be brief."}, QUESTION]}),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text", "text": "Hi"}] * 2}]}),
    (CHAT, called()),
    (CHAT, {"messages": [*called()["messages"],
                         {"role": "tool", "tool_call_id": "abcdefghi", "content": "sun"}]}),
    (CHAT, {"logit_bias": {"5": -100, "9": 1.5}, "presence_penalty": 0.5, "seed": 3}),
    (TEXT, {"prompt": "Once upon a time"}),
    (TEXT, {"prompt": [1, 659, 536], "logprobs": 2}),
    (TEXT, {"prompt": "Once upon a time", "echo": True, "stop": ["."]}),
    (TEXT, {"prompt": [659, 536], "echo": True}),
]  # fmt: skip
BAD: list[tuple[str, dict[str, Any], str]] = [
    (CHAT, {"temperature": "hot"}, "temperature"),
    (CHAT, {"top_p": 1.5}, "top_p"),
    (CHAT, {"top_k": 1.5}, "top_k"),
    (CHAT, {"stop": 3}, "stop"),
    (CHAT, {"stop": ["a", ""]}, "stop[1]"),
    (CHAT, {"stop": [3]}, "stop[0]"),
    (CHAT, {"logit_bias": {"5": "x"}}, "logit_bias[5]"),
    (CHAT, {"logprobs": 1}, "logprobs"),
    (CHAT, {"top_logprobs": 21}, "top_logprobs"),
    (CHAT, {"messages": "hi"}, "messages"),
    (CHAT, {"messages": []}, "messages"),
    (CHAT, {"messages": [5]}, "messages[0]"),
    (CHAT, {"messages": [{"content": "a"}]}, "messages[0].role"),
    (CHAT, {"messages": [{"role": "user", "content": 5}]}, "messages[0].content"),
    (CHAT, {"messages": [{"role": "user", "content": [5]}]}, "messages[0].content[0]"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "text"}]}]},
     "messages[0].content[0].text"),
    (CHAT, {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
     "messages[0].content[0]"),
    (CHAT, {"messages": [QUESTION | {"name": 5}]}, "messages[0].name"),
    (CHAT, {"messages": [QUESTION, {"role": "tool", "tool_call_id": 5, "content": "x"}]},
     "messages[1].tool_call_id"),
    (CHAT, {"messages": [{"role": "assistant", "tool_calls": {}}]}, "messages[0].tool_calls"),
    (CHAT, {"messages": [{"role": "assistant", "tool_calls": ["x"]}]}, "messages[0].tool_calls[0]"),
    (CHAT, called(id=None), "messages[1].tool_calls[0].id"),
    (CHAT, called(id=""), "messages[1].tool_calls[0].id"),
    (CHAT, called(id=7), "messages[1].tool_calls[0].id"),
    (CHAT, called(type="custom"), "messages[1].tool_calls[0].type"),
    (CHAT, called(function=None), "messages[1].tool_calls[0].function"),
    (CHAT, called(function={"arguments": "{}"}), "messages[1].tool_calls[0].function.name"),
    *((CHAT, called(function={"name": "weather", "arguments": wrong}),
       "messages[1].tool_calls[0].function.arguments")
      for wrong in (None, 5, {"days": 3}, "", "days", "[1]", '{"days": 3', "[" * 100_000)),
    (CHAT, {"tools": "x"}, "tools"),
    (CHAT, {"tools": [{"type": "function"}]}, "tools[0]"),
    (CHAT, {"tools": [{"type": "web_search"}]}, "tools[0].type"),
    (CHAT, {"tools": [TOOL, {"function": {"name": "f", "parameters": "x"}}]}, "tools[1]"),
    (CHAT, {"tool_choice": "required"}, "tool_choice"),
    (CHAT, {"tools": [TOOL], "tool_choice": {"function": {"name": "other"}}}, "tool_choice"),
    (CHAT, {"response_format": "json"}, "response_format"),
    (CHAT, {"response_format": {"type": "xml"}}, "response_format.type"),
    (CHAT, {"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema"),
    (CHAT, {"response_format": {"type": "text", "strict": True}}, "response_format.strict"),
    (TEXT, {"prompt": "x", "stop": [""]}, "stop[0]"),
]  # fmt: skip
NOT_OF_LLAMA: list[tuple[str, dict[str, Any], str]] = [  # whose arguments are Python's
    (CHAT, {"temprature": 1}, "temprature"),
    (CHAT, {"max_tokens": 0}, "max_tokens"),
    (CHAT, {"max_tokens": True}, "max_tokens"),
    (CHAT, {"max_tokens": 5, "max_completion_tokens": 5}, "max_completion_tokens"),
    (CHAT, {"stream": "yes"}, "stream"),
    (CHAT, {"stream_options": {"x": 1}}, "stream_options.x"),
    (CHAT, {"messages": None}, "messages"),
    (TEXT, {"prompt": {}}, "prompt"),
    (TEXT, {"prompt": [-1]}, "prompt"),
    (TEXT, {"prompt": "x", "suffix": "y"}, "suffix"),
    (TEXT, {}, "prompt"),
]


def body_of(url: str, more: dict[str, Any]) -> dict[str, Any]:
    own = {"messages": [QUESTION], "max_tokens": 40} if url == CHAT else {"max_tokens": 12}
    return {"temperature": 0, **own, **more}


def name_of(number: int) -> str:
    return f"line {number}"


ALL = [*((url, more) for url, more in GOOD), *((url, more) for url, more, _ in BAD + NOT_OF_LLAMA)]
IDS = [str(more)[:60] for _, more in ALL]


class OneModel(FakeWorkers):
    """The server's way to a model that is in this process."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch

    async def detokenize(self, name: str, ids: Sequence[int]) -> str:
        return self.batch.model.tokenizer.decode(ids, special=True)

    async def _write(self, job: Writing) -> AsyncGenerator[Event, None]:
        model = self.batch.model
        request = self.batch.submit(**job_of(job, model).ready(model))
        yield Begun(request.n_prompt, 0, request.seed)
        while (step := await asyncio.to_thread(next, request, None)) is not None:
            told = piece(step, model.tokenizer, job.logprobs is not None)
            yield told or Piece()
        yield ended(request)


@pytest.fixture(scope="module")
def llama(spark: Path) -> Iterator[vatra.Llama]:
    with vatra.Llama(spark, n_ctx=0) as found:
        yield found


@pytest.fixture(scope="module")
def server(llama: vatra.Llama) -> Iterator[Running]:
    with Batch(llama.model) as batch, running(OneModel(batch)) as found:
        yield found


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """The responses of a batch by the names of its lines."""
    folder = tmp_path_factory.mktemp("batch")
    source, target = folder / "in.jsonl", folder / "out.jsonl"
    lines = [
        {"custom_id": name_of(i), "method": "POST", "url": url, "body": body_of(url, more)}
        for i, (url, more) in enumerate(ALL)
    ]
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["batch", str(source), str(target)]) == 65
    records = map(json.loads, target.read_text().splitlines())
    return {record["custom_id"]: record["response"] for record in records}


def asked(llama: vatra.Llama, url: str, body: dict[str, Any]) -> Any:
    return (llama.create_chat_completion if url == CHAT else llama.create_completion)(**body)


def plain(body: dict[str, Any]) -> Any:
    """What of an answer does not differ from one time to the next, nor by kind of program."""
    (choice,) = body["choices"]
    message = choice.get("message", {})
    message.pop("refusal", None)
    message.pop("function_call", None)
    for call in message.get("tool_calls", ()):
        assert len(call.pop("id")) == 9
    return body["object"], choice, body["usage"]["prompt_tokens"]


@pytest.mark.parametrize("number", range(len(GOOD)), ids=IDS[: len(GOOD)])
def test_answers(
    number: int, server: Running, batch: dict[str, dict[str, Any]], llama: vatra.Llama
) -> None:
    url, more = GOOD[number]
    body = body_of(url, more)
    status, found, _ = server.ask("POST", url, body)
    assert status == 200, found
    written = batch[name_of(number)]
    assert written["status_code"] == 200
    n_tokens = found["usage"]["completion_tokens"]
    assert n_tokens == written["body"]["usage"]["completion_tokens"]
    of_server = plain(found)
    assert of_server[1].get("text") or of_server[1]["message"]
    assert of_server == plain(written["body"])
    found = asked(llama, url, body)
    logprobs = found["choices"][0]["logprobs"]
    if url == TEXT and logprobs:  # there the first token is behind the prompt
        first = logprobs["text_offset"][0]
        logprobs["text_offset"] = [at - first for at in logprobs["text_offset"]]
    assert plain(found) == of_server
    assert found["usage"]["completion_tokens"] == n_tokens


@pytest.mark.parametrize("number", range(len(GOOD), len(ALL)), ids=IDS[len(GOOD) :])
def test_mistakes(
    number: int, server: Running, batch: dict[str, dict[str, Any]], llama: vatra.Llama
) -> None:
    (url, more), (_, _, param) = ALL[number], (BAD + NOT_OF_LLAMA)[number - len(GOOD)]
    body = body_of(url, more)
    jobs = len(server.models.jobs)
    status, found, _ = server.ask("POST", url, body)
    assert status == 400 and len(server.models.jobs) == jobs
    error = found["error"]
    assert error["param"] == param and error["type"] == "invalid_request_error"
    assert error["message"].startswith(f"{param}: ") and error["code"]
    assert batch[name_of(number)] == {
        **batch[name_of(number)], "status_code": 400, "body": {"error": error}
    }  # fmt: skip
    if number < len(GOOD) + len(BAD):
        with pytest.raises(vatra.UsageError) as caught:
            asked(llama, url, body)
        assert str(caught.value) == error["message"]


@pytest.mark.parametrize("choice", ["required", {"function": {"name": "weather"}}])
def test_chunks_are_together_the_whole(choice: Any, server: Running, llama: vatra.Llama) -> None:
    """As OpenAI's own client puts them together, and of `Llama` as its programs do."""
    body: Any = body_of(CHAT, {"tools": [TOOL], "tool_choice": choice, "logprobs": True})
    body |= {"max_tokens": 200, "temperature": 1, "seed": 1}
    (whole,) = server.ask("POST", CHAT, body)[1]["choices"]
    client = OpenAI(base_url=f"{server.url}/v1", api_key="x")
    with client.chat.completions.stream(model="first", **body) as stream:
        final: Any = stream.get_final_completion().choices[0].model_dump()
    assert function_of(final["message"]) == function_of(whole["message"])
    assert final["logprobs"] == whole["logprobs"] and whole["finish_reason"] == "tool_calls"
    (whole,) = asked(llama, CHAT, body)["choices"]
    chunks: Any = llama.create_chat_completion(**body, stream=True)
    calls = [c for p in chunks for c in p["choices"][0]["delta"].get("tool_calls", ())]
    written = "".join(call["function"]["arguments"] for call in calls)
    assert (calls[0]["function"]["name"], written) == function_of(whole["message"])


def function_of(message: Any) -> tuple[str, str]:
    """The one call of a message."""
    (call,) = message["tool_calls"]
    assert 1 <= json.loads(call["function"]["arguments"])["days"] <= 9
    return call["function"]["name"], call["function"]["arguments"]


def test_bytes_of_half_characters(server: Running, llama: vatra.Llama) -> None:
    """The bytes of all tokens are together those of the text, whatever is cut in the middle."""
    bias = {str(i): 100 for i in llama.tokenize("\N{FIRE}".encode(), add_bos=False)[-4:]}
    body = body_of(CHAT, {"logit_bias": bias, "logprobs": True, "max_tokens": 8})
    choice = server.ask("POST", CHAT, body)[1]["choices"][0]
    raw = b"".join(bytes(token["bytes"]) for token in choice["logprobs"]["content"])
    assert any(token["token"] == "\ufffd" for token in choice["logprobs"]["content"])
    assert raw.decode("utf-8", "replace") == choice["message"]["content"]


def test_whatever_is_in_a_request_is_read_or_refused() -> None:
    """Values of any type in any place: no other error than one for the person who asks."""
    rng = random.Random(7)
    odd: list[Any] = [None, True, 0, -1, 1.5, "", "x", "auto", [], [[]], {}, {"a": [1]}, [None]]
    names = [*SAMPLING, *get_type_hints(ChatRequest), *get_type_hints(CompletionRequest)]
    n_read = 0
    for _ in range(4000):
        url, more = rng.choice(GOOD)
        body = json.loads(json.dumps(body_of(url, more)))
        for _ in range(rng.randint(0, 2)):
            place: Any = body
            while isinstance(place, (dict, list)) and place and rng.random() < 0.7:
                key = rng.choice([*place] if isinstance(place, dict) else range(len(place)))
                if not isinstance(place[key], (dict, list)) or rng.random() < 0.3:
                    place[key] = rng.choice(odd)
                    break
                place = place[key]
            else:
                body[rng.choice(names)] = rng.choice(odd)
        try:
            asked = read(REQUESTS[url], body)
            assert len(asked.answers()) == len(asked.writings())
            n_read += 1
        except vatra.UsageError:
            continue
    assert 500 < n_read < 3500


OWN = {"temperature", "top_p", "top_k", "stop", "logit_bias", "messages", "tools"}


@pytest.mark.parametrize(
    "more", [m for url, m, param in BAD if url == CHAT and {*m} <= OWN and ".id" not in param]
)
def test_lines_in_our_own_form(more: dict[str, Any], llama: vatra.Llama) -> None:
    """The same mistakes; but a call may be as `Model.chat` has it, with an object and no id."""
    found = job_of_line(Line(1, "", fields={"messages": [QUESTION]} | more), llama)
    if more == called(function={"name": "weather", "arguments": {"days": 3}}):
        assert isinstance(found, Job) and found.prompt[1] == more["messages"][1] | {"content": ""}
        return
    with pytest.raises(vatra.UsageError) as caught:
        read(ChatRequest, {"messages": [QUESTION]} | more).writings()
    assert isinstance(found, vatra.UsageError) and str(found) == str(caught.value)


def test_more_answers_than_a_line_has(llama: vatra.Llama) -> None:
    for url, body in ((CHAT, {"messages": [QUESTION], "n": 2}), (TEXT, {"prompt": ["a", "b"]})):
        found = job_of_line(Line(1, "", "x", url, body), llama)
        assert "a line has one answer, and this one asks for 2" in str(found)


def job_of_line(line: Line, llama: vatra.Llama) -> Any:
    return batch_lines.job_of(line, llama.model, batch_lines.Defaults(True))


def test_the_document_says_what_is_read(server: Running) -> None:
    """What is good is allowed by its schemas, and each of their fields is one that is read."""
    schemas = server.ask("GET", "/openapi.json")[1]["components"]["schemas"]
    for url, more in GOOD:
        known = schemas[url.strip("/").replace("/", ".")]["properties"]
        for name, value in body_of(url, more).items():
            kinds = [kind.get("type") for kind in known[name].get("anyOf", [known[name]])]
            assert value is None or KINDS[type(value)] & {*kinds}, name
    for path, own in (("v1.chat.completions", CHAT), ("v1.completions", TEXT)):
        required = schemas[path]["required"]
        assert required == (["messages"] if own == CHAT else ["prompt"])
        for name in schemas[path]["properties"]:
            error = server.ask("POST", own, {name: {"no": "such value"}})[1]["error"]
            assert (error["code"], error["param"]) != ("unknown_field", name)


KINDS: dict[type, set[str]] = {
    **{str: {"string"}, int: {"integer", "number"}, float: {"number"}, bool: {"boolean"}},
    **{list: {"array"}, dict: {"object"}},
}
