"""Ollama's own client gets from the server what it gets from Ollama."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ollama import Client, ResponseError
from running_server import Running, running


@pytest.fixture(scope="module")
def server() -> Iterator[Running]:
    with running() as found:
        yield found


@pytest.fixture(scope="module")
def client(server: Running) -> Client:
    return Client(host=server.url)


def said(text: str) -> Any:
    return [{"role": "user", "content": text}]


def test_chat(client: Client) -> None:
    done = client.chat(model="first", messages=said("hello big world"))
    assert done.message.role == "assistant" and done.message.content == "hello big world"
    assert done.done and done.done_reason == "stop" and done.model == "first"
    assert (done.prompt_eval_count, done.eval_count) == (15, 3)
    assert (done.prompt_eval_duration, done.eval_duration) == (250_000_000, 500_000_000)


def test_stream(client: Client) -> None:
    parts = list(client.chat(model="first:latest", messages=said("think a b"), stream=True))
    assert [p.message.content for p in parts] == ["", "", "a", " b", ""]
    assert [p.message.thinking for p in parts[:2]] == ["Let me see. ", "Yes."]
    assert [p.done for p in parts] == [False] * 4 + [True]
    assert parts[-1].eval_count == 2


def test_whole_thinking(client: Client, server: Running) -> None:
    done = client.chat(model="first", messages=said("think a b"), think=True)
    assert (done.message.thinking, done.message.content) == ("Let me see. Yes.", "a b")
    assert server.models.jobs[-1][1].template_kwargs == {"enable_thinking": True}
    client.generate(model="first", prompt="hi", think="low")
    kwargs = {"enable_thinking": True, "reasoning_effort": "low"}
    assert server.models.jobs[-1][1].template_kwargs == kwargs


def test_options(client: Client, server: Running) -> None:
    options = {"num_predict": 2, "repeat_last_n": 9, "seed": 5, "temperature": 0, "stop": ["q"]}
    done = client.chat(
        model="first", messages=said("a b c"), options=options | {"num_ctx": 9, "min_p": 0.1}
    )
    assert done.message.content == "a b" and done.done_reason == "length"
    job = server.models.jobs[-1][1]
    assert job.sampling == {"penalty_last_n": 9, "seed": 5, "temperature": 0, "min_p": 0.1}
    assert (job.max_tokens, job.stop) == (2, ["q"])
    with pytest.raises(ResponseError, match="did you mean temperature"):
        client.chat(model="first", messages=said("a"), options={"temprature": 1})


def test_tools(client: Client, server: Running) -> None:
    def weather(place: str) -> str:
        """The weather.

        Args:
          place: where
        """
        return place

    first = said('call weather {"place": "Rome"}')
    done = client.chat(model="first", messages=first, tools=[weather])
    [call] = done.message.tool_calls or []
    assert (call.function.name, call.function.arguments) == ("weather", {"place": "Rome"})
    result = {"role": "tool", "tool_name": "weather", "content": "hot"}
    client.chat(model="first", messages=[*first, done.message, result], tools=[weather])
    arrived = server.models.jobs[-1][1].messages
    [told] = arrived[1]["tool_calls"]
    assert told["function"] == {"name": "weather", "arguments": {"place": "Rome"}}
    assert told["type"] == "function" and told["id"]
    wanted = {"role": "tool", "name": "weather", "content": "hot", "tool_call_id": told["id"]}
    assert arrived[2] == wanted


def test_format(client: Client) -> None:
    schema = {"type": "object", "properties": {"age": {"type": "integer"}}}
    done = client.chat(model="first", messages=said("x"), format=schema)
    assert done.message.content == '{"age": 7}'
    assert client.generate(model="first", prompt="x", format="json").response == "{}"


def test_generate(client: Client, server: Running) -> None:
    done = client.generate(model="first", prompt="a b", system="Be good", logprobs=True)
    assert done.response == "a b" and done.done
    assert [t.token for t in done.logprobs or []] == ["a", " b"]
    job = server.models.jobs[-1][1]
    assert job.messages == [{"role": "system", "content": "Be good"}, *said("a b")]
    parts = client.generate(model="first", prompt="a b", raw=True, stream=True)
    assert [p.response for p in parts] == ["a", " b", ""]
    job = server.models.jobs[-1][1]
    assert (job.prompt, job.messages) == ("a b", None)


def test_nothing_said_loads_and_unloads(client: Client, server: Running) -> None:
    assert client.generate(model="first").done_reason == "load"
    assert server.models.loaded == ["first"]
    [model] = client.ps().models
    assert (model.model, model.context_length) == ("first", 2048)
    assert client.chat(model="first", messages=[], keep_alive=0).done_reason == "unload"
    assert not client.ps().models
    client.generate(model="first")
    client.generate(model="first", prompt="x", keep_alive="0s")
    assert not server.models.loaded


def test_models(client: Client) -> None:
    models = client.list().models
    assert [m.model for m in models] == ["first", "owner/second:Q4_K_M", "vectors"]
    first = models[0]
    assert first.size == 12_345 and first.modified_at and first.modified_at.year == 2023
    assert first.details and first.details.parameter_size == "1.1B"
    shown = client.show("first")
    assert shown.modelinfo and shown.modelinfo["general.architecture"] == "llama"
    assert shown.capabilities == ["completion", "tools", "thinking"]
    assert client.show("vectors").capabilities == ["embedding"]


def test_embed(client: Client) -> None:
    done = client.embed(model="vectors", input=["abc", "abcdef"])
    assert done.embeddings == [[0.3, 0.6, 0.0, 0.8], [0.6, 0.6, 0.0, 0.8]]
    assert done.prompt_eval_count == 9
    assert client.embeddings(model="vectors", prompt="abc").embedding == [0.3, 0.6, 0.0, 0.8]


def test_version(server: Running) -> None:
    assert server.ask("GET", "/api/version")[1] == {"version": "1.2.3"}


@pytest.mark.parametrize(
    ("text", "status"), [("full", 400), ("busy", 503), ("crash x x x", 500), ("bug", 500)]
)
def test_errors(client: Client, text: str, status: int) -> None:
    with pytest.raises(ResponseError) as caught:
        client.chat(model="first", messages=said(text))
    assert caught.value.status_code == status and caught.value.error
    assert "somebody" not in caught.value.error


def test_an_error_within_a_stream(client: Client) -> None:
    with pytest.raises(ResponseError, match="was killed"):
        list(client.chat(model="first", messages=said("crash x x x"), stream=True))


def test_unknown_model(client: Client) -> None:
    with pytest.raises(ResponseError, match="did you mean") as caught:
        client.chat(model="frist", messages=said("x"))
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    "more", [{"suffix": "x"}, {"template": "{{ x }}"}, {"context": [1]}, {"images": ["QUJD"]}]
)
def test_what_is_not_done_is_refused(server: Running, more: dict[str, Any]) -> None:
    status, told, _ = server.ask("POST", "/api/generate", {"model": "first", "prompt": "x"} | more)
    assert status == 400 and next(iter(more)) in told["error"]


def test_calls_that_are_none_are_refused(server: Running) -> None:
    messages = [*said("x"), {"role": "assistant", "content": "", "tool_calls": [1]}]
    status, told, _ = server.ask("POST", "/api/chat", {"model": "first", "messages": messages})
    assert status == 400 and "messages[1].tool_calls" in told["error"]


def test_pictures_are_refused(client: Client) -> None:
    with pytest.raises(ResponseError, match="only texts"):
        client.chat(model="first", messages=[{"role": "user", "content": "x", "images": [b"QUJD"]}])
