"""What the options of `vatra batch` say for all lines, as it is told to other processes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vatra.cli.batch_lines import Defaults

if TYPE_CHECKING:
    from vatra.engine.constraint import Grammar
    from vatra.engine.model import Model


@dataclass(frozen=True)
class BatchOptions:
    """A model's file, how it is loaded and shared, and how it answers."""

    path: Path
    ctx: int | None = None
    kv: Any = "f16"
    parallel: int = 8
    chat: bool | None = None  # None: if there is a chat template
    system: str | None = None
    chat_template: str | None = None  # a file
    sampling: Mapping[str, Any] = field(default_factory=dict)
    max_tokens: int | None = None
    stop: Sequence[str] = ()
    grammar: Grammar | None = None
    backend: str = "cpu"
    threads: int | None = None
    gpu_layers: int | str | None = None
    device: str | None = None

    def load(self) -> Model:
        """The model; raises what `vatra.load` does."""
        import vatra

        return vatra.load(
            self.path, self.backend, self.threads, self.ctx, self.kv, self.gpu_layers, self.device
        )

    def defaults(self, model: Model) -> Defaults:
        """What holds for each line that does not say otherwise."""
        from vatra.formats.chat_template import KEY, for_model

        template, chat = None, self.chat
        if self.chat_template:
            template = for_model(model.checkpoint, model.tokenizer, self.chat_template)
        if chat is None:
            chat = KEY in model.metadata or self.system is not None or template is not None
        return Defaults(
            chat, self.system, template, self.sampling, self.max_tokens, self.stop, self.grammar
        )
