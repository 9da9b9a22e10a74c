"""Texts are taken apart beside the model, by a process that knows only them."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest

from vatra.engine.writing import Begun, Writing
from vatra.errors import UsageError
from vatra.formats import gguf, tokenizer
from vatra.server import texts, workers
from vatra.server.host import MOST_CRASHES
from vatra.server.jobs import Templating, Tokenising
from vatra.server.worker import BEHIND_MODELS
from vatra.server.workers import Busy, Crashed, Options, Workers

TEXT = "Once upon a time <|im_end|>"
ENDLESS = Writing("Once", sampling={"ignore_eos": True, "seed": 1})

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGSTOP"), reason="signals")


def process_of(hosts: dict[str, Any]) -> int:
    return int(hosts["spark"].process.pid)


def test_a_model_is_neither_loaded_nor_waited_for(spark: Path) -> None:
    with gguf.read(spark) as checkpoint:
        wanted = tokenizer.load(checkpoint).encode(TEXT)

    async def some() -> None:
        async with Workers({"spark": str(spark)}, Options(ctx=256, parallel=1)) as served:
            assert await served.tokenize("spark", TEXT, True, True) == wanted
            assert "".join(await served.pieces("spark", wanted)).endswith(TEXT)
            assert len(await served.pieces("spark", wanted)) == len(wanted)
            text, ids = await served.apply_template("spark", [{"role": "user", "content": TEXT}])
            assert TEXT in text and TEXT in await served.detokenize("spark", ids)
            assert served.description("spark").state == "unloaded"
            async for event in served.write("spark", ENDLESS):
                if isinstance(event, Begun):
                    os.kill(process_of(served._hosts), signal.SIGSTOP)
                    assert await asyncio.wait_for(served.tokenize("spark", TEXT), 5)
                    os.kill(process_of(served._hosts), signal.SIGCONT)
            assert served.counters()["crashes"] == 0

    asyncio.run(some())


def test_texts_wait_in_a_queue_of_their_own(spark: Path) -> None:
    async def overflow() -> None:
        async with Workers({"spark": str(spark)}, Options(ctx=256, queue=1)) as served:
            await served.tokenize("spark", TEXT)
            os.kill(process_of(served._texts), signal.SIGSTOP)
            n = workers.TEXTS_AT_ONCE + 1
            jobs = [asyncio.create_task(served.tokenize("spark", TEXT)) for _ in range(n)]
            await asyncio.sleep(0)
            with pytest.raises(Busy, match="1 requests are waiting"):
                await served.tokenize("spark", TEXT)
            jobs.pop().cancel()
            os.kill(process_of(served._texts), signal.SIGCONT)
            found = await asyncio.gather(*jobs)
            assert found[0] == found[1]

    asyncio.run(overflow())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="priorities of threads")
def test_all_its_jobs_stand_back(spark: Path) -> None:
    async def priorities() -> list[int]:
        async with Workers({"spark": str(spark)}) as served:
            await served.tokenize("spark", TEXT)
            pid = process_of(served._texts)
            os.kill(pid, signal.SIGSTOP)  # so that it has both at once
            jobs = [served.tokenize("spark", TEXT * n) for n in (20_000, 1)]
            both = asyncio.gather(*jobs)
            await asyncio.sleep(0.1)
            os.kill(pid, signal.SIGCONT)
            await both
            threads = map(int, os.listdir(f"/proc/{pid}/task"))
            return [os.getpriority(os.PRIO_PROCESS, thread) for thread in threads]

    found = asyncio.run(priorities())
    assert found.count(BEHIND_MODELS) == workers.TEXTS_AT_ONCE


def test_it_is_started_again_after_a_model_is_loaded(spark: Path) -> None:
    async def kill() -> None:
        async with Workers({"spark": str(spark)}, Options(ctx=256)) as served:
            for _ in range(MOST_CRASHES):
                await served.tokenize("spark", TEXT)
                os.kill(process_of(served._texts), signal.SIGKILL)
                while served._texts["spark"].process is not None:
                    await asyncio.sleep(0.01)
            with pytest.raises(Crashed, match="third time within a minute: load it again"):
                await served.tokenize("spark", TEXT)
            await served.load("spark")
            assert await served.tokenize("spark", TEXT)

    asyncio.run(kill())


def test_what_is_too_long_is_refused(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(texts, "MOST_TEXT", 10)
    known = texts.Texts(str(spark))
    assert known.answer(Tokenising("a" * 10))
    with pytest.raises(UsageError, match="content: got 11 characters, .* in parts"):
        known.answer(Tokenising("a" * 11))
    with pytest.raises(UsageError, match="messages: got .* in parts"):
        known.answer(Templating([{"role": "user", "content": "a"}]))
    assert texts.unpacked(texts.packed([0, 5, 2**31 - 1])) == [0, 5, 2**31 - 1]


def test_files_are_read_beside_the_event_loop(spark: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    readers: list[bool] = []
    real = os.stat

    def stat(path: Any, **given: Any) -> os.stat_result:
        readers.append(threading.current_thread() is threading.main_thread())
        return real(path, **given)

    async def look() -> None:
        async with Workers({"spark": str(spark), "gone": "/nowhere"}) as served:
            monkeypatch.setattr(os, "stat", stat)
            assert served.description("spark").architecture == "llama"
            assert served.description("gone").state == "failed"
            assert not readers
            await served.look()
            assert readers and not any(readers)
            monkeypatch.undo()

    asyncio.run(look())
