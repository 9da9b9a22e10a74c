"""`vatra warmup`: compile the kernels now, so that the first answer need not wait for them."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from vatra.cli import terminal


def command(
    model: Annotated[
        str | None,
        typer.Option("-m", "--model", metavar="FILE", envvar="VATRA_MODEL", help="The GGUF file."),
    ] = None,
) -> None:
    """Compile the kernels ahead of the first answer.

    With a model those that it needs, without one all that there are.
    """
    from vatra.cli.progress import waiting

    begin = time.monotonic()
    with waiting() as shown:
        if model:
            import vatra

            vatra.load(model, backend="cpu").session()
        else:
            from vatra import quant
            from vatra.engine import cpu, jit

            jit.load(cpu.kernels_for(list(quant.FORMATS)))
    seconds = time.monotonic() - begin
    what = f"compiled {shown.compiled} kernels" if shown.compiled else "all kernels were there"
    terminal.write_line(f"ready: {what}, {seconds:.1f} s")
