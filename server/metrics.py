"""Counters in the text format that Prometheus reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Metric(NamedTuple):
    """A counter of `Models.counters` as it is told."""

    name: str  # after `vatra_`
    kind: str
    meaning: str


METRICS = {  # llama.cpp's names, where it has one
    "requests": Metric("requests_total", "counter", "Requests that models were asked."),
    "errors": Metric("errors_total", "counter", "Requests that ended with an error."),
    "crashes": Metric("crashes_total", "counter", "Processes of models that ended by themselves."),
    "prompt_tokens": Metric("prompt_tokens_total", "counter", "Tokens of prompts evaluated."),
    "reused_tokens": Metric("reused_tokens_total", "counter", "Tokens of prompts still in memory."),
    "generated_tokens": Metric("tokens_predicted_total", "counter", "Tokens written."),
    "prompt_seconds": Metric("prompt_seconds_total", "counter", "Seconds of reading prompts."),
    "generated_seconds": Metric("tokens_predicted_seconds_total", "counter", "Seconds of writing."),
    "requests_running": Metric("requests_processing", "gauge", "Requests being answered."),
    "requests_waiting": Metric("requests_deferred", "gauge", "Requests that wait for a place."),
    "models_loaded": Metric("models_loaded", "gauge", "Models in memory."),
    "kv_pages_used": Metric("kv_pages_used", "gauge", "Pages of keys and values in use."),
    "kv_pages": Metric("kv_pages", "gauge", "Pages of keys and values there are."),
}


def prometheus(counters: Mapping[str, float]) -> str:
    """A text in version 0.0.4 of the format."""
    lines = []
    for name, value in counters.items():
        metric = METRICS.get(name, Metric(name, "untyped", ""))
        told = f"vatra_{metric.name}"
        if metric.meaning:
            lines.append(f"# HELP {told} {metric.meaning}")
        lines += [f"# TYPE {told} {metric.kind}", f"{told} {value!r}"]
    return "\n".join(lines) + "\n"
