"""Files that lie but can still be read: loading and running them ends in an error or in text."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CASES = 500
# numbers that counts, sizes, ids and floats are likely to be wrong by
NUMBERS = (0, 1, 2, 3, 5, 8, 16, 64, 511, 512, 513, 2**31 - 1, 2**32 - 1)
FLOATS = (b"\x00\x00\xc0\x7f", b"\x00\x00\x80\x7f", b"\xff\xff\x7f\x7f")  # NaN, inf, largest

CHILD = """
import sys
from pathlib import Path
import vatra

for path in sorted(Path(sys.argv[1]).glob("*.gguf")):
    print(path.name, flush=True)  # the last name is what a signal is to be blamed on
    try:
        with vatra.load(path, ctx=64, threads=1) as model:
            session = model.session()
            session.sync(model.tokenizer.encode("Once upon a time")[:20])
            list(session.generate(vatra.Sampling(seed=1), 3))
    except vatra.VatraError as error:
        assert "\\n" not in str(error), error
        print("refused", flush=True)
"""


def damaged(source: bytes, head: int, seed: int) -> bytes:
    """`source` with a few lies in its first `head` bytes, or a strange weight anywhere."""
    lies, made = random.Random(seed), bytearray(source)
    for _ in range(lies.choice((1, 1, 1, 2, 4))):
        at, kind = lies.randrange(head), lies.random()
        if kind < 0.4:
            made[at] ^= 1 << lies.randrange(8)
        elif kind < 0.8:
            made[at : at + 4] = lies.choice(NUMBERS).to_bytes(4, "little")
        else:
            at = lies.randrange(len(made) - 4)
            made[at : at + 4] = lies.choice(FLOATS)
    return bytes(made)


def test_a_lie_is_refused_or_harmless(shared: Path, tmp_path: Path) -> None:
    from vatra.formats import gguf

    model = shared / "models" / "stories260K-f32.gguf"
    with gguf.read(model) as found:
        head = min(tensor.offset for tensor in found.tensors.values())
    source, batch = model.read_bytes(), 50
    ran = refused = 0
    for begin in range(0, CASES, batch):
        for seed in range(begin, begin + batch):
            (tmp_path / f"{seed:04}.gguf").write_bytes(damaged(source, head, seed))
        done = subprocess.run(
            [sys.executable, "-c", CHILD, str(tmp_path)],
            cwd=ROOT, capture_output=True, text=True, timeout=2 * batch,
        )  # fmt: skip
        assert done.returncode == 0, (done.returncode, done.stdout[-60:], done.stderr[-2000:])
        ran += done.stdout.count(".gguf")
        refused += done.stdout.count("refused")
        for path in tmp_path.iterdir():
            path.unlink()
    assert ran == CASES
    assert CASES // 10 < refused < CASES * 9 // 10  # both happen: the lies are of the right size
