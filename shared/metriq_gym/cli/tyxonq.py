"""``mgym tyxonq probe``."""

from __future__ import annotations

from typing import Annotated

import typer

from metriq_gym.cli.options import AsJson, Yes

app = typer.Typer(help="About TyxonQ's cloud.", no_args_is_help=True)


@app.callback()
def _group() -> None:
    """About TyxonQ's cloud."""


@app.command()
def probe(
    device: Annotated[str, typer.Option("--device", "-d", help="Where to run.")] = "homebrew_s2",
    yes: Yes = False,
    json: AsJson = False,
) -> None:
    """Ask a live TyxonQ service what no page tells.

    By three tiny tasks; says what they cost, and asks before.
    """
    from metriq_gym.cli import opening, probing

    opening.run(probing.ask(device, yes=yes, as_json=json))
