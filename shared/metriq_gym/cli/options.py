"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[str, typer.Argument(help="A configuration file, or the name of a shipped example.")]
Provider = Annotated[str, typer.Option("--provider", "-p", help="Where the device is.")]
Device = Annotated[str, typer.Option("--device", "-d", help="The device.")]
JobName = Annotated[
    str | None,
    typer.Argument(metavar="[JOB]", help="The job's id, the beginning of it, or latest.", show_default=False),
]
SuiteName = Annotated[
    str | None,
    typer.Argument(metavar="[SUITE]", help="The suite's id, the beginning of it, or latest.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Plot = Annotated[
    Path | None, typer.Option("--plot", help="Draw it to a .png or .svg file.", metavar="FILE", show_default=False)
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the record to this file.", metavar="FILE", show_default=False),
]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for it, or only look.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DEFAULT_PROVIDER = "local"
DEFAULT_DEVICE = "aer_simulator"
