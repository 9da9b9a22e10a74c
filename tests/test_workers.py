"""Models in processes of their own: the same answers, many at once, and every way to die."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import vatra
from vatra.engine.fields import read
from vatra.engine.writing import Begun, Ended, Piece, Writing, piece
from vatra.errors import BadFile, MissingFile, UsageError
from vatra.formats.tool_calls import ToolCall
from vatra.server import codec
from vatra.server import process as process_module
from vatra.server.jobs import Event, Loaded, Loading
from vatra.server.process import Answer
from vatra.server.worker import Task, Worker
from vatra.server.workers import Busy, Crashed, Options, UnknownModel, Workers

PROMPT = "Once upon a time"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ENDLESS = Writing(PROMPT, sampling={"ignore_eos": True, "seed": 1})
NAMES = [  # none is a part of another
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivy", "Jack", "Kim", "Leo",
    "Mia", "Ned", "Olga", "Pip", "Rosa", "Sam", "Tess", "Uma", "Vera", "Will", "Yara",
    "Zoe", "Anna", "Bob", "Carl", "Dora", "Emil", "Greta",
]  # fmt: skip

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals")


class Served:
    """Workers in an event loop that goes on from test to test."""

    def __init__(self, runner: asyncio.Runner, workers: Workers) -> None:
        self.run, self.workers = runner.run, workers


@pytest.fixture(scope="module")
def served(spark: Path) -> Iterator[Served]:
    """Spark, in one process for all tests that do it no harm."""
    with asyncio.Runner() as runner:
        workers = Workers({"spark": str(spark)}, Options(threads=1))
        runner.run(workers.__aenter__())
        yield Served(runner, workers)
        runner.run(workers.__aexit__(None, None, None))


@pytest.fixture(scope="module")
def model(spark: Path) -> Iterator[vatra.Model]:
    with vatra.load(spark, threads=1) as model:
        yield model


async def collected(events: AsyncIterator[Event]) -> tuple[Begun, Piece, Ended]:
    """How an answer began, all of it as one piece, and how it ended."""
    first, *pieces, last = [event async for event in events]
    assert isinstance(first, Begun) and isinstance(last, Ended)
    whole = Piece()
    for part in pieces:
        assert isinstance(part, Piece)
        whole = Piece(
            whole.text + part.text,
            whole.reasoning + part.reasoning,
            (*whole.tool_calls, *part.tool_calls),
            (*whole.tokens, *part.tokens),
        )
    return first, whole, last


async def text_of(workers: Workers, job: Writing, name: str = "spark") -> str:
    return (await collected(workers.write(name, job)))[1].text


def pid_of(workers: Workers, name: str = "spark") -> int:
    process = workers._hosts[name].process
    assert process is not None
    return process.pid


def idle_end(workers: Workers) -> float:
    """When Spark will be unloaded, if nobody wants it before."""
    timer = workers._hosts["spark"]._timer
    assert timer is not None
    return timer.when()


async def soon(holds: Callable[[], bool], seconds: float = 5.0) -> None:
    """Wait until something holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not come true"
        await asyncio.sleep(0.005)


def is_alive(pid: int) -> bool:
    try:
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


# What comes of a job


def test_a_text_is_continued_as_the_model_does_it(served: Served, model: vatra.Model) -> None:
    steps = model.generate(PROMPT, seed=3, max_tokens=30, stop=["zzz"], logprobs=2)
    wanted = [(s.token, s.logprob, [t.token for t in s.top_logprobs]) for s in steps]
    job = Writing(PROMPT, max_tokens=30, stop=["zzz"], sampling={"seed": 3}, logprobs=2)
    first, whole, last = served.run(collected(served.workers.write("spark", job)))
    assert (whole.text, first.seed) == (steps.text, 3)
    assert [(t.id, t.logprob, [a.id for a in top]) for t, top in whole.tokens] == wanted
    assert [t.text for t, _ in whole.tokens] == [
        model.tokenizer.piece(token).decode() for token in steps.tokens
    ]
    assert (last.finish_reason, last.generated_tokens) == (steps.finish_reason, len(wanted))
    assert first.prompt_tokens == last.prompt_tokens == len(model.tokenizer.encode(PROMPT))
    by_tokens = Writing(model.tokenizer.encode(PROMPT), max_tokens=30, sampling={"seed": 3})
    assert served.run(text_of(served.workers, by_tokens)) == steps.text


def test_a_chat_is_answered_as_the_model_does_it(served: Served, model: vatra.Model) -> None:
    steps = model.chat(QUESTION, temperature=0)
    text = "".join(step.text for step in steps)
    job = Writing(messages=QUESTION, sampling={"temperature": 0, "top_p": None})
    _, whole, last = served.run(collected(served.workers.write("spark", job)))
    assert (whole.text, last.finish_reason) == (text, "eog")
    assert text == "The capital of France is Paris."


def test_other_prompts_and_forms(served: Served) -> None:
    run, workers = served.run, served.workers
    raw = Writing(PROMPT, raw=True, max_tokens=1)
    first, _, _ = run(collected(workers.write("spark", raw)))
    with_bos, nothing, last = run(collected(workers.write("spark", Writing(PROMPT, max_tokens=0))))
    assert (nothing.text, last.finish_reason, last.generated_tokens) == ("", "length", 0)
    assert first.prompt_tokens == with_bos.prompt_tokens - 1
    for form in ({"grammar": 'root ::= "yes" | "no"'},
                 {"json_schema": {"enum": ["yes", "no"]}}):  # fmt: skip
        job = Writing(messages=QUESTION, **form)  # type: ignore[arg-type]
        assert run(text_of(workers, job)).strip('"') in ("yes", "no")
    (first_of_paris, *_) = run(workers.tokenize("spark", " Paris"))
    bias = {first_of_paris: float("-inf")}
    banned = Writing(messages=QUESTION, sampling={"temperature": 0, "logit_bias": bias})
    assert " P" not in run(text_of(workers, banned))


def test_thinking_and_calls_are_told_from_the_text(model: vatra.Model) -> None:
    call = ToolCall("add", {"a": 1, "b": ["é"]}, "call7")
    step = vatra.Step(5, "", -0.5, reasoning="hm", tool_calls=(call,))
    told = piece(step, model.tokenizer, logprobs=False)
    arguments = '{"a": 1, "b": ["é"]}'
    assert told == Piece(
        reasoning="hm", tool_calls=[{"id": "call7", "name": "add", "arguments": arguments}]
    )
    assert read(Piece, json.loads(codec.line(codec.plain(told)))) == told
    assert piece(vatra.Step(5, "", -0.5), model.tokenizer, logprobs=False) is None


def test_short_jobs(served: Served, model: vatra.Model) -> None:
    run, workers = served.run, served.workers
    text = "hi <|im_end|>"
    plain = model.tokenizer.encode(text, bos=False, special=False)
    assert run(workers.tokenize("spark", text)) == plain
    parsed = run(workers.tokenize("spark", text, special=True, parse_special=True))
    assert parsed == model.tokenizer.encode(text)
    assert run(workers.detokenize("spark", parsed)) == "<s>hi <|im_end|>"
    messages = [{"role": "user", "content": text}]
    shown, ids = run(workers.apply_template("spark", messages))
    assert ids == model.chat_ids(messages) and shown.count(text) == 1
    assert ids.count(model.tokenizer.encode("<|im_end|>", bos=False)[0]) == 1


def test_embeddings(served: Served, model: vatra.Model) -> None:
    texts: list[str | Sequence[int]] = ["a cat", "two dogs", [5, 6, 7]]
    vectors, n_tokens = served.run(served.workers.embed("spark", texts, "last"))
    assert np.array_equal(np.asarray(vectors, np.float32), model.embed(texts, "last"))
    assert n_tokens == sum(len(model.tokenizer.encode(t)) for t in ("a cat", "two dogs")) + 3


def test_what_is_known_without_loading(
    spark: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    wrong = tmp_path / "wrong-Q4_K_M.gguf"
    wrong.write_bytes(b"nothing")

    async def known() -> None:
        models = {"spark": str(spark), "wrong": str(wrong), "gone": str(tmp_path / "gone.gguf")}
        async with Workers(models, Options(log_prompts=True)) as workers:
            assert workers.names() == list(models)
            found = workers.description("spark")
            assert (found.state, found.architecture, found.quantisation) == (
                "unloaded", "llama", "Q8_0",
            )  # fmt: skip
            assert (found.n_ctx, found.chats, found.embeds) == (2048, True, False)
            assert found.parameters == 7344384 and found.size == spark.stat().st_size
            assert len(found.fingerprint) == 32
            keys = await workers.metadata("spark")
            assert keys["tokenizer.ggml.tokens"] is None and keys["llama.block_count"] == 8
            assert "{%" in keys["tokenizer.chat_template"]
            assert "magic" in workers.description("wrong").error
            with pytest.raises(BadFile, match="magic"):
                await text_of(workers, ENDLESS, "wrong")
            assert PROMPT in caplog.text  # which was asked for
            with pytest.raises(MissingFile, match="no such file"):
                await workers.load("gone")
            assert workers.description("gone").state == "failed"
            workers._hosts["spark"].loading = Loading(str(spark), ctx=10**9)
            with pytest.raises(vatra.OutOfMemory, match="KV cache"):
                await text_of(workers, ENDLESS)
            assert workers.counters()["crashes"] == 0

    asyncio.run(known())


# Errors


@pytest.mark.parametrize(
    ("job", "message"),
    [
        (Writing(), "either a prompt or messages"),
        (Writing(PROMPT, messages=QUESTION), "either a prompt or messages"),
        (Writing(PROMPT, sampling={"temprature": 1}), "did you mean 'temperature'"),
        (Writing(PROMPT, sampling={"top_p": 2}), "top_p: got 2"),
        (Writing(PROMPT, sampling={"filters": ["print"]}), "wanted a function"),
        (Writing(PROMPT, max_tokens=-1), "max_tokens"),
        (Writing(PROMPT, max_tokens="7"), "max_tokens: got '7', wanted an integer"),  # type: ignore[arg-type]
        (Writing(PROMPT, stop=["", "a"]), r"stop\[0\]"),
        (Writing(PROMPT, logprobs=10**6), "logprobs: got 1000000, wanted an integer from 0 to 100"),
        (Writing(PROMPT, grammar="nonsense"), "grammar"),
        (Writing(PROMPT, grammar='root ::= "\ud800"'), "alone is no character"),
        (Writing(PROMPT, json=True, grammar="root ::= [a]"), "only one of them"),
        (Writing([10**9]), r"ids\[0\]"),
        (Writing(messages=[{"content": "hi"}]), r"messages\[0\].role"),
        (Writing(messages=[{"role": "user", "content": 7}]), r"messages\[0\].content"),
        (Writing(messages=QUESTION, template_kwargs={"template": "x"}), "template"),
        (
            Writing(messages=QUESTION, template_kwargs={"self": "x"}),
            r"kwargs\.self: can not",
        ),
    ],
)
def test_wrong_jobs(served: Served, job: Writing, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        served.run(text_of(served.workers, job))


def test_errors_keep_their_kind_and_numbers(served: Served) -> None:
    run, workers = served.run, served.workers
    with pytest.raises(vatra.ContextFull) as full:
        run(text_of(workers, Writing([5] * 3000)))
    assert (full.value.n_tokens, full.value.n_ctx) == (3000, 2048)
    with pytest.raises(UsageError, match="outside of the vocabulary"):
        run(workers.detokenize("spark", [10**6]))
    with pytest.raises(UsageError, match="pooling"):
        run(workers.embed("spark", ["a"], "sum"))
    with pytest.raises(UnknownModel, match="did you mean 'spark'"):
        run(text_of(workers, ENDLESS, "sparc"))
    with pytest.raises(UsageError, match="JSON can hold"):
        run(text_of(workers, Writing(PROMPT, sampling={"seed": object()})))
    nested: Any = None
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(UsageError, match="at most 100 levels"):
        run(text_of(workers, Writing(messages=[{"role": "user", "content": nested}])))
    assert workers.counters()["requests_running"] == 0
    assert run(text_of(workers, Writing(messages=QUESTION, sampling={"temperature": 0})))


def test_no_prompt_is_in_the_log(
    served: Served, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """An error that is not ours says where it was, and not what it was about."""
    caplog.set_level(logging.DEBUG)
    served.run(text_of(served.workers, Writing("a secret", max_tokens=1)))
    with pytest.raises(UsageError):
        served.run(text_of(served.workers, Writing("a secret", sampling={"top_p": "secret"})))
    assert "secret" not in caplog.text
    for log_prompts in (False, True):
        told = io.BytesIO()
        worker = Worker(Loading("x.gguf", log_prompts=log_prompts), io.BytesIO(), told)
        try:
            raise KeyError("terces"[::-1])
        except KeyError as error:
            worker._failed(Task(7), error)
        message = json.loads(told.getvalue())
        assert message["id"] == 7 and "an internal error (KeyError)" in str(message)
        said = capfd.readouterr().err
        assert "test_workers.py" in said
        assert ("secret" in said) == log_prompts and "secret" not in str(message)


# Several at once


def test_texts_at_once_are_those_of_one_at_a_time(served: Served, model: vatra.Model) -> None:
    wanted = [
        "".join(s.text for s in model.generate(PROMPT, seed=i, max_tokens=20)) for i in range(12)
    ]

    async def all_of_them() -> list[str]:
        jobs = [Writing(PROMPT, max_tokens=20, sampling={"seed": i}) for i in range(12)]
        return await asyncio.gather(*(text_of(served.workers, job) for job in jobs))

    assert served.run(all_of_them()) == wanted


def test_nothing_of_one_prompt_is_in_the_answer_to_another(served: Served) -> None:
    """The toy greets by name: each pair has two names, one more chat is left on the way."""

    def hello(name: str) -> Writing:
        said = [{"role": "user", "content": f"Hello, my name is {name}."}]
        return Writing(messages=said, max_tokens=12, sampling={"temperature": 0})

    async def leave(job: Writing) -> None:
        async with aclosing(served.workers.write("spark", job)) as events:
            await anext(events)

    async def pair(i: int) -> None:
        mine, other = NAMES[i], NAMES[i - 7]
        first, second, _ = await asyncio.gather(
            text_of(served.workers, hello(mine)),
            text_of(served.workers, hello(other)),
            leave(hello(other)),
        )
        assert mine in first and other not in first
        assert other in second and mine not in second

    async def pairs() -> None:
        for first in range(0, len(NAMES), 5):  # fewer than may wait
            await asyncio.gather(*(pair(i) for i in range(first, first + 5)))

    served.run(pairs())


def test_a_cancelled_answer_makes_room_within_a_token(served: Served) -> None:
    async def cancel() -> None:
        workers = served.workers
        before = workers.counters()["generated_tokens"]
        async with aclosing(workers.write("spark", ENDLESS)) as events:
            await anext(events)
        await soon(lambda: workers.counters()["requests_running"] == 0)
        assert workers.counters()["generated_tokens"] - before < 1000  # of 2043
        task = asyncio.create_task(text_of(workers, ENDLESS))
        await soon(lambda: workers.counters()["requests_running"] == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await soon(lambda: workers.counters()["requests_running"] == 0)

    served.run(cancel())


def test_a_slow_reader_holds_up_nobody(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    async def slow() -> None:
        workers = served.workers
        long = replace(ENDLESS, max_tokens=300)
        async with aclosing(workers.write("spark", long)) as events:
            assert isinstance(await anext(events), Begun)
            for i in range(8):  # meanwhile others are answered
                assert await text_of(workers, Writing(PROMPT, max_tokens=5, sampling={"seed": i}))
            await soon(lambda: workers.counters()["requests_running"] == 0, 20)
            rest = [event async for event in events]
            assert len(rest) <= 3 and isinstance(rest[-1], Ended)
            assert rest[-1].generated_tokens == 300
        monkeypatch.setattr(process_module, "MOST_UNREAD", 2000)
        async with aclosing(workers.write("spark", long)) as events:
            await anext(events)
            await soon(lambda: workers.counters()["requests_running"] == 0, 20)
            with pytest.raises(vatra.Unavailable, match="not read"):
                async for _ in events:
                    pass

    served.run(slow())


def test_unread_pieces_become_one_but_stay_in_order() -> None:
    async def joined() -> list[Event]:
        answer = Answer(lambda: None, lambda done: None)
        for event in (Piece("a"), Piece("b"), Piece(reasoning="c"), Piece(reasoning="d"),
                      Piece("e"), Piece(tool_calls=({"id": "1"},)), Piece("f")):  # fmt: skip
            answer.push(event, 10)
        answer.end({})
        return [event async for event in answer]

    assert asyncio.run(joined()) == [
        Piece("ab"), Piece("e", "cd"), Piece(tool_calls=({"id": "1"},)), Piece("f"),
    ]  # fmt: skip


# Life


def test_the_queue_is_short(spark: Path) -> None:
    async def overflow() -> None:
        async with Workers({"spark": str(spark)}, Options(ctx=512, parallel=1, queue=2)) as workers:
            await workers.load("spark")
            jobs = [asyncio.create_task(text_of(workers, ENDLESS)) for _ in range(3)]
            await soon(lambda: workers.counters()["requests_running"] == 1)
            os.kill(pid_of(workers), signal.SIGSTOP)
            assert workers.counters()["requests_waiting"] == 2
            with pytest.raises(Busy, match="2 requests are waiting") as busy:
                await text_of(workers, ENDLESS)
            assert 1 <= busy.value.retry_after <= 600
            short = asyncio.create_task(workers.tokenize("spark", "short jobs need no place"))
            jobs[1].cancel()
            await asyncio.sleep(0)
            jobs.append(asyncio.create_task(text_of(workers, ENDLESS)))
            os.kill(pid_of(workers), signal.SIGCONT)
            assert await short
            texts = await asyncio.gather(*jobs, return_exceptions=True)
            assert isinstance(texts.pop(1), asyncio.CancelledError)
            assert len(set(texts)) == 1 and isinstance(texts[0], str)

    asyncio.run(overflow())


def test_a_killed_worker_is_started_again(spark: Path) -> None:
    """Twice; the third time it is left alone until it is asked to load."""

    async def kill() -> None:
        async with Workers({"spark": str(spark)}, Options(parallel=1)) as workers:
            short = Writing(PROMPT, max_tokens=3, sampling={"seed": 1})
            wanted = await text_of(workers, short)
            waiting: asyncio.Task[str] | None = None
            for time_of in range(3):
                if time_of:
                    waiting = None
                    assert await text_of(workers, short) == wanted
                with pytest.raises(Crashed, match="SIGKILL"):
                    async for event in workers.write("spark", ENDLESS):
                        if isinstance(event, Begun):
                            os.kill(pid_of(workers), signal.SIGSTOP)
                            waiting = asyncio.create_task(text_of(workers, short))
                            await soon(lambda: workers.counters()["requests_waiting"] == 1)
                            os.kill(pid_of(workers), signal.SIGKILL)
                assert waiting is not None
                began = time.monotonic()
                if time_of < 2:
                    assert await waiting == wanted
                    assert time.monotonic() - began < 5
            assert waiting is not None
            with pytest.raises(Crashed, match="third time"):
                await waiting
            with pytest.raises(Crashed, match="third time"):
                await text_of(workers, short)
            found = workers.description("spark")
            assert found.state == "failed" and "SIGKILL" in found.error
            assert workers.counters()["crashes"] == 3
            await workers.load("spark")
            assert workers.description("spark").state == "ready"
            assert await text_of(workers, short) == wanted

    asyncio.run(kill())


def test_a_file_that_was_cut_is_named(spark: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(spark, tmp_path / "cut.gguf"))

    async def cut() -> None:
        async with Workers({"spark": str(path)}) as workers:
            with pytest.raises(Crashed, match="cut.gguf:? was cut from 7913856 to 4096 bytes"):
                async for event in workers.write("spark", ENDLESS):
                    if isinstance(event, Begun):
                        os.truncate(path, 4096)
            with pytest.raises(BadFile, match="bytes"):
                await text_of(workers, ENDLESS)
            shutil.copyfile(spark, path)
            await workers.load("spark")
            os.truncate(path, 4096)  # nobody reads it now, but the system may
            os.kill(pid_of(workers), signal.SIGBUS)
            await soon(lambda: workers.description("spark").state == "failed")
            error = workers.description("spark").error
            assert error.startswith("its process was ended by SIGBUS") and "was cut from" in error

    asyncio.run(cut())


def test_another_file_in_the_same_place_is_loaded(
    spark: Path, shared: Path, tmp_path: Path
) -> None:
    path = Path(shutil.copy(spark, tmp_path / "model.gguf"))

    async def replaced() -> None:
        async with Workers({"model": str(path)}, Options(ctx=256)) as workers:
            short = Writing(PROMPT, max_tokens=8, sampling={"temperature": 0})
            old = await text_of(workers, short, "model")
            other = shutil.copy(shared / "models" / "stories260K-f32.gguf", tmp_path / "other")
            os.replace(other, path)
            assert await text_of(workers, short, "model") != old
            shutil.copyfile(spark, path)  # the file itself is written anew
            assert await text_of(workers, short, "model") == old
            path.unlink()
            assert await text_of(workers, short, "model") == old
            assert workers.counters()["crashes"] == 0

    asyncio.run(replaced())


def test_a_worker_that_can_not_start(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_module, "COMMAND", [sys.executable, "-c", "raise OSError('oh')"])

    async def start() -> None:
        async with Workers({"spark": str(spark)}) as workers:
            with pytest.raises(Crashed, match="status 1: OSError: oh"):
                await text_of(workers, ENDLESS)

    asyncio.run(start())


FRONT = """
import asyncio, sys
from vatra.engine.writing import Writing
from vatra.server.workers import Options, Workers

async def main():
    async with Workers({"spark": sys.argv[1]}, Options(ctx=512)) as workers:
        async for _ in workers.write("spark", Writing("Once", sampling={"ignore_eos": True})):
            print(workers._hosts["spark"].process.pid, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT])
def test_a_worker_ends_with_its_front(spark: Path, end: signal.Signals) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(process_module._import_path())}
    with subprocess.Popen(
        [sys.executable, "-c", FRONT, str(spark)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment,
    ) as front:  # fmt: skip
        assert front.stdout
        pid = int(front.stdout.readline())
        assert is_alive(pid)
        front.send_signal(end)
        front.wait(5)
        asyncio.run(soon(lambda: not is_alive(pid), 2))


def test_unloading_gives_the_memory_back(spark: Path) -> None:
    async def unload() -> None:
        options = Options(ctx=512, idle_s=0.4)
        async with Workers({"spark": str(spark)}, options) as workers:
            short = Writing(PROMPT, max_tokens=3, sampling={"seed": 1})
            wanted = await text_of(workers, short)
            pid, ends = pid_of(workers), idle_end(workers)
            assert await text_of(workers, short) == wanted
            assert idle_end(workers) > ends  # it began anew
            await soon(lambda: workers.description("spark").state == "unloaded")
            await soon(lambda: not is_alive(pid), 1)
            running = asyncio.create_task(text_of(workers, ENDLESS))
            await soon(lambda: workers.counters()["requests_running"] == 1)
            pid = pid_of(workers)
            given_up = asyncio.create_task(workers.unload("spark"))
            await asyncio.sleep(0.01)
            given_up.cancel()
            assert await asyncio.wait_for(text_of(workers, short), 5) == wanted
            await workers.unload("spark")  # waits for what runs
            assert not is_alive(pid) and workers.counters()["crashes"] == 0
            assert len(await running) > len(wanted)

    asyncio.run(unload())


def test_two_models_where_one_has_room(spark: Path, shared: Path) -> None:
    stories = shared / "models" / "stories260K-f32.gguf"

    async def two() -> None:
        models = {"spark": str(spark), "stories": str(stories)}
        async with Workers(models, Options(ctx=256)) as workers:
            short = Writing(PROMPT, max_tokens=8, sampling={"temperature": 0})
            wanted = {name: await text_of(workers, short, name) for name in models}
            assert wanted["spark"] != wanted["stories"]
            assert workers.description("spark").state == "unloaded"
            # A model in use is not taken away, and does not keep the others out for ever.
            endless = asyncio.create_task(text_of(workers, ENDLESS, "stories"))
            await soon(lambda: workers.counters()["requests_running"] == 1)
            names = ["spark", "stories", "spark", "stories"]
            texts = asyncio.gather(*(text_of(workers, short, name) for name in names))
            assert len(await endless) > 200
            assert await texts == [wanted[name] for name in names]
            assert workers.counters()["models_loaded"] == 1
            assert workers.counters()["crashes"] == 0

    asyncio.run(two())


def test_stopping_is_quick_whatever_happens(spark: Path) -> None:
    async def stop(wait: Callable[[Workers], Awaitable[Any]]) -> list[Any]:
        async with Workers({"spark": str(spark)}, Options(ctx=512, parallel=1)) as workers:
            tasks = [asyncio.create_task(text_of(workers, ENDLESS)) for _ in range(3)]
            await wait(workers)
            began = time.monotonic()
        assert time.monotonic() - began < 2
        return await asyncio.gather(*tasks, return_exceptions=True)

    async def running(workers: Workers) -> None:
        await soon(lambda: workers.counters()["generated_tokens"] >= 0
                   and workers.counters()["requests_running"] == 1)  # fmt: skip

    for wait in (lambda workers: asyncio.sleep(0.1), running):
        found = asyncio.run(stop(wait))
        assert all(isinstance(error, vatra.Unavailable) for error in found), found


def test_many_requests_leave_nothing_behind(served: Served) -> None:
    async def some(n: int) -> None:
        for i in range(n):
            await text_of(served.workers, Writing(PROMPT, max_tokens=2, sampling={"seed": i}))
            if i % 10 == 0:
                with pytest.raises(UsageError):
                    await text_of(served.workers, Writing(PROMPT, max_tokens=-1))
                async with aclosing(served.workers.write("spark", ENDLESS)) as events:
                    await anext(events)
                await served.workers.embed("spark", ["a cat"])

    def used(pid: int) -> tuple[int, int]:
        """Resident KB, and open files."""
        status = Path(f"/proc/{pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        return resident, len(os.listdir(f"/proc/{pid}/fd"))

    served.run(some(40))
    pids = pid_of(served.workers), os.getpid()
    before = [used(pid) for pid in pids]
    served.run(some(200))
    after = [used(pid) for pid in pids]
    for (kb, files), (kb_after, files_after) in zip(before, after, strict=True):
        assert files_after <= files
        assert kb_after <= 1.02 * kb + 1024


def test_a_worker_says_what_it_has_loaded(served: Served, model: vatra.Model) -> None:
    served.run(served.workers.load("spark"))
    loaded: Loaded = served.workers._hosts["spark"].process.loaded  # type: ignore[union-attr]
    assert loaded.n_ctx == 2048 == served.workers.description("spark").n_ctx
    assert loaded.fingerprint == model.fingerprint
    assert [file.path for file in loaded.files] == [model.path]
