"""OpenAI's own client gets from the server what it gets from OpenAI's."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel
from running_server import Running, running

TOOLS: Any = [
    {
        "type": "function",
        "function": {
            "name": name,
            "parameters": {
                "type": "object",
                "properties": {"place": {"type": "string"}, "days": {"type": "integer"}},
                "required": ["place", "days"],
            },
        },
    }
    for name in ("weather", "news")
]


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0) as found:
        yield found


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_chat(client: OpenAI) -> None:
    done = client.chat.completions.create(model="first", messages=said("hello big world"))
    assert done.object == "chat.completion" and done.model == "first"
    [choice] = done.choices
    assert (choice.message.role, choice.message.content) == ("assistant", "hello big world")
    assert choice.finish_reason == "stop" and choice.message.tool_calls is None
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (15, 3)
    assert done.usage.total_tokens == 18
    assert done.usage.prompt_tokens_details and done.usage.prompt_tokens_details.cached_tokens == 2


def test_stream(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="first", messages=said("hello big world"), stream=True,
        stream_options={"include_usage": True},
    )  # fmt: skip
    chunks = list(stream)
    assert len({chunk.id for chunk in chunks}) == 1
    assert chunks[0].choices[0].delta.role == "assistant"
    parts = [c.choices[0].delta.content for c in chunks if c.choices]
    assert parts == ["", "hello", " big", " world", None]
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None] * 4 + ["stop"]
    assert not chunks[-1].choices and chunks[-1].usage is not None
    assert chunks[-1].usage.completion_tokens == 3
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_the_stream_helper_of_the_client(client: OpenAI) -> None:
    with client.chat.completions.stream(
        model="first", messages=said('call weather {"place": "Rome", "days": 2}'), tools=TOOLS
    ) as stream:
        final = stream.get_final_completion()
    [call] = final.choices[0].message.tool_calls or []
    assert call.function.name == "weather"
    assert final.choices[0].finish_reason == "tool_calls"


def test_thinking(client: OpenAI, server: Running) -> None:
    done = client.chat.completions.create(
        model="first", messages=said("think hello"), reasoning_effort="none",
        extra_body={"chat_template_kwargs": {"custom": 1}},
    )  # fmt: skip
    message: Any = done.choices[0].message
    assert (message.reasoning_content, message.content) == ("Let me see. Yes.", "hello")
    kwargs = server.models.jobs[-1][1].template_kwargs
    assert kwargs == {"custom": 1, "reasoning_effort": "none", "enable_thinking": False}


def test_every_sampling_field_arrives(client: OpenAI, server: Running) -> None:
    from dataclasses import fields

    from vatra.engine.sampling import Sampling

    given: dict[str, Any] = {
        f.name: getattr(Sampling(), f.name)
        for f in fields(Sampling)
        if f.name not in ("filters", "recommended", "seed", "logit_bias")
    }
    given |= {"dry_breakers": ["\n"], "samplers": ["top_k", "temperature"], "seed": 2**63}
    body = json.loads(json.dumps(given | {"logit_bias": {"15": -100, "x": 1.5}}))
    client.chat.completions.create(model="first", messages=said("hello"), extra_body=body)
    arrived = server.models.jobs[-1][1].sampling
    assert arrived == given | {"logit_bias": [(15, -100), ("x", 1.5)]}
    Sampling(**arrived)


@pytest.mark.parametrize(
    ("seed", "arrives"), [(7, {"seed": 7}), (0, {"seed": 0}), (-1, {}), (-2, {"seed": 2**64 - 2})]
)
def test_seed(client: OpenAI, server: Running, seed: int, arrives: dict[str, int]) -> None:
    client.chat.completions.create(model="first", messages=said("hello"), seed=seed)
    assert server.models.jobs[-1][1].sampling == arrives


def test_names_of_other_servers(client: OpenAI, server: Running) -> None:
    body = {"repeat_last_n": 5, "dry_sequence_breakers": ["x"], "n_predict": 2, "user": "me"}
    done = client.completions.create(model="first", prompt="a b c d", extra_body=body)
    assert done.choices[0].text == "a b" and done.choices[0].finish_reason == "length"
    arrived = server.models.jobs[-1][1]
    assert arrived.sampling == {"penalty_last_n": 5, "dry_breakers": ["x"]}
    assert arrived.max_tokens == 2


def test_several_answers_have_seeds_of_their_own(client: OpenAI, server: Running) -> None:
    before = len(server.models.jobs)
    done = client.chat.completions.create(
        model="first", messages=said("hello world"), n=3, seed=2**64 - 2
    )
    assert [(c.index, c.message.content) for c in done.choices] == [
        (i, "hello world") for i in range(3)
    ]
    seeds = [job.sampling["seed"] for _, job in server.models.jobs[before:]]
    assert seeds == [2**64 - 2, 2**64 - 1, 0]
    assert done.usage is not None
    assert (done.usage.prompt_tokens, done.usage.completion_tokens) == (11, 6)


def test_several_answers_in_a_stream(client: OpenAI) -> None:
    texts = {0: "", 1: ""}
    stream = client.chat.completions.create(
        model="first", messages=said("hello big world"), n=2, stream=True
    )
    for chunk in stream:
        for choice in chunk.choices:
            texts[choice.index] += choice.delta.content or ""
    assert texts == {0: "hello big world", 1: "hello big world"}


def test_stop_and_length(client: OpenAI) -> None:
    ask = client.chat.completions.create
    stopped = ask(model="first", messages=said("one two three"), stop=["two"])
    assert stopped.choices[0].message.content == "one"
    assert stopped.choices[0].finish_reason == "stop"
    cut = ask(model="first", messages=said("one two three"), max_completion_tokens=1)
    assert cut.choices[0].message.content == "one"
    assert cut.choices[0].finish_reason == "length"


def test_logprobs(client: OpenAI) -> None:
    done = client.chat.completions.create(
        model="first", messages=said("hello é"), logprobs=True, top_logprobs=2
    )
    assert done.choices[0].logprobs and done.choices[0].logprobs.content
    first, second = done.choices[0].logprobs.content
    assert (first.token, first.logprob, len(first.top_logprobs)) == ("hello", -0.5, 2)
    assert second.bytes == list(" é".encode())


def test_logprobs_in_a_stream(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="first", messages=said("a b"), logprobs=True, stream=True
    )
    told = [c.choices[0].logprobs for c in stream]
    found = [(t.content or [])[0].token for t in told if t is not None]
    assert found == ["a", " b"]


def test_a_call_that_the_model_makes(client: OpenAI, server: Running) -> None:
    text = 'call weather {"place": "Rome", "days": 2}'
    done = client.chat.completions.create(model="first", messages=said(text), tools=TOOLS)
    [call] = done.choices[0].message.tool_calls or []
    assert call.type == "function" and call.id == "call_0"
    assert json.loads(call.function.arguments) == {"place": "Rome", "days": 2}
    assert done.choices[0].message.content is None
    assert done.choices[0].finish_reason == "tool_calls"
    assert server.models.jobs[-1][1].tools == TOOLS


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("choice", "name"),
    [("required", "weather"), ({"type": "function", "function": {"name": "news"}}, "news")],
)
def test_a_call_that_must_be_made(client: OpenAI, choice: Any, name: str, stream: bool) -> None:
    ask: Any = client.chat.completions.create
    given = {"model": "first", "messages": said("hi"), "tools": TOOLS, "tool_choice": choice}
    if stream:
        chunks = list(ask(**given, stream=True))
        calls = [c for chunk in chunks for c in chunk.choices[0].delta.tool_calls or []]
        assert {c.index for c in calls} == {0}
        assert [c.id is None for c in calls] == [False, *[True] * (len(calls) - 1)]
        written = "".join(c.function.arguments for c in calls)
        assert not any(chunk.choices[0].delta.content for chunk in chunks)
        reason = chunks[-1].choices[0].finish_reason
    else:
        done = ask(**given)
        calls, reason = done.choices[0].message.tool_calls, done.choices[0].finish_reason
        written = calls[0].function.arguments
    assert (calls[0].function.name, reason) == (name, "tool_calls")
    assert json.loads(written) == {"place": "seven", "days": 7}


def test_a_forced_call_that_is_cut_off(client: OpenAI) -> None:
    done: Any = client.chat.completions.create(
        model="first", messages=said("hi"), tools=TOOLS, max_tokens=1,
        tool_choice={"type": "function", "function": {"name": "news"}},
    )  # fmt: skip
    assert done.choices[0].message.tool_calls[0].function.arguments == '{"pla'
    assert done.choices[0].finish_reason == "length"


def test_no_call(client: OpenAI, server: Running) -> None:
    text = 'call weather {"place": "Rome", "days": 2}'
    done = client.chat.completions.create(
        model="first", messages=said(text), tools=TOOLS, tool_choice="none"
    )
    assert done.choices[0].message.tool_calls is None
    assert server.models.jobs[-1][1].tools is None


def test_structured_output(client: OpenAI, server: Running) -> None:
    class Trip(BaseModel):
        place: str
        days: int

    done = client.chat.completions.parse(model="first", messages=said("x"), response_format=Trip)
    assert done.choices[0].message.parsed == Trip(place="seven", days=7)
    asked = client.chat.completions.create(
        model="first", messages=said("x"), response_format={"type": "json_object"}
    )
    assert asked.choices[0].message.content == "{}" and server.models.jobs[-1][1].json


def test_messages_as_templates_want_them(client: OpenAI, server: Running) -> None:
    messages: Any = [
        {"role": "developer", "content": [{"type": "text", "text": t} for t in ("Be", "good")]},
        {"role": "assistant", "content": None, "tool_calls": [
            {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "a", "content": "12"},
        {"role": "user", "content": "hi"},
    ]  # fmt: skip
    client.chat.completions.create(model="first", messages=messages)
    arrived = server.models.jobs[-1][1].messages
    assert arrived[0] == {"role": "system", "content": "Be\ngood"}
    assert arrived[1]["content"] == "" and arrived[1]["tool_calls"] == messages[1]["tool_calls"]
    assert arrived[2:] == messages[2:]


def test_completions(client: OpenAI) -> None:
    done = client.completions.create(model="", prompt="one two", echo=True)
    assert (done.object, done.model) == ("text_completion", "first")
    assert done.choices[0].text == "one twoone two" and done.choices[0].finish_reason == "stop"
    several = client.completions.create(model="first", prompt=[[1, 2], [3]], n=2)
    assert [c.text for c in several.choices] == ["ab", "ab", "c", "c"]
    stream = client.completions.create(model="first", prompt="x y", stream=True, echo=True)
    assert [c.choices[0].text for c in stream] == ["x y", "x", " y", ""]
    told = client.completions.create(model="first", prompt="x yy", logprobs=1).choices[0].logprobs
    assert told is not None and told.text_offset == [0, 1]
    assert told.tokens == ["x", " yy"] and told.top_logprobs == [{"x": -0.5}, {" yy": -0.5}]


def test_models(client: OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["first", "owner/second:Q4_K_M", "vectors"]
    found: Any = client.models.retrieve("owner/second:Q4_K_M")
    assert (found.id, found.n_ctx, found.state) == ("owner/second:Q4_K_M", 2048, "unloaded")


def test_embeddings(client: OpenAI, server: Running) -> None:
    done = client.embeddings.create(model="vectors", input=["abc", "abcdef"])  # asks for base64
    assert [e.embedding for e in done.data] == [
        pytest.approx([0.3, 0.6, 0, 0.8]), pytest.approx([0.6, 0.6, 0, 0.8])
    ]  # fmt: skip
    assert done.usage.prompt_tokens == 9
    _, raw, _ = server.ask(
        "POST", "/v1/embeddings", {"model": "vectors", "input": "abc", "encoding_format": "base64"}
    )
    vector = struct.unpack("<4f", base64.b64decode(raw["data"][0]["embedding"]))
    assert vector == pytest.approx((0.3, 0.6, 0, 0.8))
    short = client.embeddings.create(model="vectors", input="abcdef", dimensions=2).data[0]
    assert short.embedding == pytest.approx([0.5**0.5, 0.5**0.5])


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("full x", openai.BadRequestError, "context_length_exceeded"),
        ("wrong x", openai.BadRequestError, "invalid_value"),
        ("busy x", openai.InternalServerError, "server_busy"),
        ("crash x x x", openai.InternalServerError, "model_crashed"),
        ("bug x", openai.InternalServerError, "internal_error"),
    ],
)
def test_errors(client: OpenAI, text: str, kind: type[openai.APIStatusError], code: str) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="first", messages=said(text))
    body: Any = caught.value.body
    assert body["code"] == code and set(body) == {"message", "type", "param", "code"}
    assert "somebody" not in str(body)
    if code == "server_busy":
        assert caught.value.status_code == 503
        assert caught.value.response.headers["retry-after"] == "3"


def test_unknown_model(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match="did you mean 'first'"):
        client.chat.completions.create(model="frist", messages=said("x"))
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("frist")


def test_an_error_before_a_stream_has_its_status(client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="2048"):
        client.chat.completions.create(model="first", messages=said("full"), stream=True)


def test_an_error_within_a_stream(client: OpenAI) -> None:
    stream = client.chat.completions.create(
        model="first", messages=said("crash after two words"), stream=True
    )
    found = []
    with pytest.raises(openai.APIError, match="was killed"):
        for chunk in stream:
            found.append(chunk.choices[0].delta.content)
    assert found == ["", "crash", " after"]


WRONG: list[tuple[dict[str, Any], str, str]] = [
    ({"temprature": 1}, "temprature", "did you mean temperature"),
    ({"temperature": "hot"}, "temperature", "'hot'"),
    ({"temperature": [1]}, "temperature", "number"),
    ({"top_p": 1.5}, "top_p", "wanted a number from 0 to 1"),
    ({"top_k": 1.5}, "top_k", "integer"),
    ({"top_k": True}, "top_k", "integer"),
    ({"max_tokens": 0}, "max_tokens", "at least 1"),
    ({"max_tokens": 2**40}, "max_tokens", "from -1 to 2147483647"),
    ({"max_tokens": 5, "max_completion_tokens": 6}, "max_completion_tokens", "same as max_tokens"),
    ({"n": 17}, "n", "16"),
    ({"n": 0}, "n", "1"),
    ({"seed": 2**64}, "seed", "from 0 to"),
    ({"stream": "yes"}, "stream", "true or false"),
    ({"messages": []}, "messages", "not empty"),
    ({"messages": "hi"}, "messages", "list"),
    ({"messages": [{"content": "x"}]}, "messages[0].role", "wanted system, user"),
    ({"messages": [{"role": "user", "content": 5}]}, "messages[0].content", "wanted a text"),
    ({"tools": [{"type": "function"}]}, "tools[0]", "wanted"),
    ({"tools": [{"type": "web_search"}]}, "tools[0].type", "web_search"),
    ({"tool_choice": "required"}, "tool_choice", "required"),
    ({"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice", "wanted"),
    ({"response_format": {"type": "xml"}}, "response_format.type", "json_object"),
    ({"response_format": {"type": "json_schema"}}, "response_format.json_schema.schema", "object"),
    ({"logit_bias": {"1": "x"}}, "logit_bias[1]", "number"),
    ({"logit_bias": [[1, True]]}, "logit_bias[1]", "wanted"),
    ({"top_logprobs": 21}, "top_logprobs", "20"),
    ({"samplers": "top_q"}, "samplers", "wanted"),
    ({"audio": {"voice": "x"}}, "audio", "not a known field"),
]  # fmt: skip


def test_a_bias_with_a_very_long_name(server: Running) -> None:
    """Python reads no number of so many digits; it is a text, of which the model may know."""
    name = "9" * 5000
    body = {"messages": said("x"), "logit_bias": {name: 1, "7": 2}}
    assert server.ask("POST", "/v1/chat/completions", body)[0] == 200
    _, writing = server.models.jobs[-1]
    assert writing.sampling["logit_bias"] == [(name, 1.0), (7, 2.0)]


@pytest.mark.parametrize(("body", "param", "what"), WRONG, ids=[str(b)[:40] for b, _, _ in WRONG])
def test_what_is_wrong_is_named(
    server: Running, body: dict[str, Any], param: str, what: str
) -> None:
    given = {"messages": said("hi"), "model": "first"} | body
    before = len(server.models.jobs)
    status, told, _ = server.ask("POST", "/v1/chat/completions", given)
    assert status == 400 and told["error"]["type"] == "invalid_request_error"
    assert told["error"]["param"] == param, told
    assert what in told["error"]["message"]
    assert len(server.models.jobs) == before


def test_pictures_are_refused(server: Running) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    body = {"messages": [{"role": "user", "content": [picture]}]}
    status, told, _ = server.ask("POST", "/v1/chat/completions", body)
    assert status == 400 and told["error"]["code"] == "unsupported_content"


@pytest.mark.parametrize(
    "body",
    [
        {"prompt": "x", "suffix": "y"},
        {"prompt": "x", "best_of": 2},
        {"prompt": "x", "echo": True, "logprobs": 1},
        {"prompt": []},
        {"prompt": ["x"] * 9, "n": 2},
        {"prompt": [1, "x"]},
        {"prompt": [-1]},
        {},
    ],
)
def test_completions_refuse(server: Running, body: dict[str, Any]) -> None:
    assert server.ask("POST", "/v1/completions", body)[0] == 400


def test_a_client_that_leaves_frees_its_place(server: Running) -> None:
    models = server.models
    for stream in (True, False):
        closed = models.closed
        with server.socket() as connection:
            body = json.dumps({"messages": said("forever"), "stream": stream}).encode()
            connection.sendall(
                b"POST /v1/chat/completions HTTP/1.1\r\nContent-Type: application/json\r\n"
                b"Host: localhost:%d\r\nContent-Length: %d\r\n\r\n%s"
                % (server.port, len(body), body)
            )
            if stream:
                assert b"200 OK" in connection.recv(4096)
            else:
                assert until(lambda: models.open == 1)
        assert until(lambda: models.open == 0), "still writes for nobody"
        assert models.closed == closed + 1


def until(condition: Any, seconds: float = 2.0) -> bool:
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.005)
    return bool(condition())


def test_many_at_once_are_not_mixed(server: Running) -> None:
    async def one(client: openai.AsyncOpenAI, number: int) -> str:
        text = " ".join([f"n{number}"] * 20)
        stream = await client.chat.completions.create(
            model="first", messages=said(text), stream=True
        )
        return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

    async def every() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{server.url}/v1", api_key="x") as client:
            return await asyncio.gather(*(one(client, i) for i in range(32)))

    assert asyncio.run(every()) == [" ".join([f"n{i}"] * 20) for i in range(32)]


def test_tokens(server: Running) -> None:
    assert server.ask("POST", "/tokenize", {"content": "abc"})[1] == {"tokens": [1, 2, 3]}
    pieces = {"tokens": [{"id": 0, "piece": "`"}, {"id": 1, "piece": "a"}]}
    body = {"content": "a", "add_special": True, "with_pieces": True}
    assert server.ask("POST", "/v1/tokenize", body)[1] == pieces
    assert server.ask("POST", "/detokenize", {"tokens": [8, 9]})[1] == {"content": "hi"}
    told = server.ask("POST", "/apply-template", {"messages": said("hi")})[1]
    assert told == {"prompt": "<user>hi", "tokens": [1, 2, 3]}


def test_health_metrics_and_the_document(server: Running) -> None:
    assert server.ask("GET", "/health")[:2] == (200, {"status": "ok"})
    status, text, headers = server.ask("GET", "/metrics")
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = text.splitlines()
    assert "# TYPE vatra_requests_total counter" in lines
    assert "vatra_prompt_tokens_total 10000000.0" in lines
    document = server.ask("GET", "/openapi.json")[1]
    chat = document["paths"]["/v1/chat/completions"]["post"]
    ref = chat["requestBody"]["content"]["application/json"]["schema"]["$ref"]
    fields = document["components"]["schemas"][ref.rpartition("/")[2]]["properties"]
    assert {"messages", "temperature", "dry_multiplier", "seed", "tools"} <= set(fields)
    for path, methods in document["paths"].items():
        for method in methods:
            status, _, _ = server.ask(method.upper(), path.replace("{name}", "first"), {})
            assert status not in (404, 405), path
    text = json.dumps(document)
    assert all(f'"{ref}"' in text for ref in document["components"]["schemas"])
