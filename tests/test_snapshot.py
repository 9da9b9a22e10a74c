"""A session goes back to a snapshot, whatever it has read meanwhile."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import vatra


def following(session: vatra.Session, n: int = 8) -> list[int]:
    return [step.token for step in session.generate(vatra.Sampling(temperature=0), n)]


# One whose attention has windows, one with memories, one with both keys and memories.
@pytest.mark.parametrize("name", ["gemma3-dense", "mamba2-dense", "qwen35-dense"])
def test_going_back(shared: Path, name: str) -> None:
    path = shared / "golden" / "archs" / f"{name}.gguf"
    golden = np.load(path.with_suffix(".npz"))["tokens"].tolist()
    text = (golden * 8)[:200]
    with vatra.load(path, ctx=256) as model:
        session = model.session()
        session.sync(text[:150])
        snapshot = session.snapshot()
        logits = session.logits.copy()
        wanted = following(session)
        session.sync(text[::-1])
        assert following(session) != wanted
        session.restore(snapshot)
        assert session.ids == tuple(text[:150]) == snapshot.ids
        np.testing.assert_array_equal(session.logits, logits)
        assert following(session) == wanted
        session.restore(snapshot)
        assert session.sync(text[:180]).reused_tokens == 150
        found = following(session)
        other = model.session()
        other.sync(text[:150])
        other.sync(text[:180])
        assert found == following(other)
        with pytest.raises(vatra.UsageError, match="another length"):
            model.session(64).restore(snapshot)
        assert snapshot.nbytes > 0


def test_an_empty_session(spark: Path) -> None:
    with vatra.load(spark, ctx=64) as model:
        session = model.session()
        empty = session.snapshot()
        session.sync([1, 300])
        session.restore(empty)
        assert session.ids == () and session.position == 0
        with pytest.raises(vatra.UsageError, match="no text"):
            session.generate()
