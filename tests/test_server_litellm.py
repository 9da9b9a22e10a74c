"""LiteLLM's providers for OpenAI and Ollama, in an environment of their own."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
from running_server import running

PYTHON = os.environ.get("LITELLM_PYTHON", "")


@pytest.mark.skipif(
    not PYTHON,
    reason="LITELLM_PYTHON names no interpreter that has litellm and mcp; they cannot be installed "
    "beside vatra, as litellm wants an older huggingface_hub",
)
def test_litellm() -> None:
    with running() as server:
        done = subprocess.run(
            [PYTHON, Path(__file__).with_name("litellm_client.py"), server.url],
            capture_output=True, text=True, timeout=120,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "chat": ["hello big", "length"],
        "usage": 17,
        "stream": "a b",
        "thinking": "Let me see. Yes.",
        "call": ["weather", {"place": "seven"}],
        "json": "{}",
        "text": "a b",
        "embedding": [0.3, 0.6, 0.0, 0.8],
        "full": "ContextWindowExceededError",
        "busy": "ServiceUnavailableError",
        "ollama": "a b",
    }
