"""A process that says nonsense, or nothing: it is ended, in words, and its requests with it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import pytest

from vatra.server import process as process_module
from vatra.server.errors import Crashed
from vatra.server.jobs import Detokenising, Loading
from vatra.server.process import Process

LOADED = '{"loaded": {"n_ctx": 8, "fingerprint": "", "files": [%s], "notes": []}}'
FILE = '{"path": "/nowhere", "size": 0, "modified_ns": 0, "inode": 0}'
SAYING = "import json, sys, time\nsys.stdin.readline()\n"
READY = SAYING + f"print('''{LOADED % FILE}''', flush=True)\n"


def talk(script: str, monkeypatch: pytest.MonkeyPatch, then: Any) -> str:
    """Why a process that is `script` ended, by itself, with nobody left to wait for it."""
    monkeypatch.setattr(process_module, "COMMAND", [sys.executable, "-c", script])
    monkeypatch.setattr(process_module, "PING_S", 0.1)
    ended: list[str] = []

    async def main() -> None:
        process = await Process.start("model", Loading("model.gguf"), ended.append)
        try:
            await then(process)
        finally:
            await process.stop()

    asyncio.run(limited(main()))
    return ended[0] if ended else ""


async def limited(work: Coroutine[Any, Any, None]) -> None:
    await asyncio.wait_for(work, 10)


async def ask(process: Process) -> None:
    answer = process.ask(Detokenising([1]), lambda done: None)
    async for _ in answer:
        pass


@pytest.mark.parametrize(
    "said",
    ['no JSON', '[1]', '{}', '{"id": 1, "event": "Nothing", "with": {}}',
     '{"id": 1, "event": "Piece", "with": {"text": 5}}', '{"id": 1, "done": {"error": {}}}'],
)  # fmt: skip
def test_nonsense_ends_it_loudly(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    script = READY + f"sys.stdin.readline()\nprint('''{said}''', flush=True)\ntime.sleep(100)"

    async def then(process: Process) -> None:
        with pytest.raises(Crashed, match="said what can not be read"):
            await ask(process)

    assert "said what can not be read" in talk(script, monkeypatch, then)


def test_one_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    async def then(process: Process) -> None:
        await asyncio.sleep(1)  # it has nothing to do
        with pytest.raises(Crashed, match="hung"):
            await ask(process)

    assert "its process hung" in talk(READY + "time.sleep(100)", monkeypatch, then)


def test_one_that_hangs_while_it_loads_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Crashed, match="hung"):
        talk(SAYING + "time.sleep(100)", monkeypatch, ask)


def test_one_that_takes_long_is_not_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    script = READY + (
        "begin = time.monotonic()\n"
        "for line in sys.stdin:\n"
        "    said = json.loads(line)\n"
        "    if 'ping' in said: print(json.dumps({'pong': said['ping']}), flush=True)\n"
        '    if time.monotonic() > begin + 1.5: print(\'{"id": 1, "done": {}}\', flush=True)\n'
    )
    assert talk(script, monkeypatch, ask) == ""
