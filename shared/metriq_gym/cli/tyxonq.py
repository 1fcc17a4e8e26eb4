"""``mgym tyxonq probe``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli.options import AsJson

app = typer.Typer(help="About TyxonQ's cloud.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """About TyxonQ's cloud."""


@app.command()
def probe(
    device: Annotated[str, typer.Option("--device", "-d", help="Where to run.")] = "homebrew_s2",
    patience: Annotated[float, typer.Option(min=0, help="Seconds to wait for the one task that runs.")] = 600,
    json: AsJson = False,
) -> None:
    """Ask a live TyxonQ service what no page tells; runs 100 shots of one gate, which costs a little."""
    from metriq_gym.cli import opening
    from metriq_gym.cli.probing import probe as ask

    opening.run(ask(device, patience, json))
