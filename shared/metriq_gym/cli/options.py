"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.client.configurations import examples
from metriq_gym.messages import CompilationName
from metriq_gym.providers import names


def _configurations(beginning: str) -> list[str]:
    folder, _, name = beginning.rpartition("/")
    here = sorted(Path(folder or ".").glob(f"{name}*")) if "*" not in beginning else []
    files = [f"{each}/" if each.is_dir() else str(each) for each in here if each.is_dir() or each.suffix == ".json"]
    return files + [each for each in examples() if each.startswith(beginning)]


def providers(beginning: str) -> list[str]:
    """Complete a provider's name."""
    return [name for name in names() if name.startswith(beginning)]


def drawable(path: Path | None) -> Path | None:
    """Refuse a file that nothing can be drawn to now, not after hours of waiting."""
    if path is not None and path.suffix.lower() not in (".png", ".svg"):
        raise typer.BadParameter("its name must end in .png or .svg")
    if path is not None and not path.absolute().parent.is_dir():
        raise typer.BadParameter(f"there is no folder {path.parent}")
    return path


Config = Annotated[
    str,
    typer.Argument(
        metavar="CONFIG", help="A configuration file, or the name of a shipped example.", autocompletion=_configurations
    ),
]
Provider = Annotated[str, typer.Option("--provider", "-p", help="Where the device is.", autocompletion=providers)]
Device = Annotated[str, typer.Option("--device", "-d", help="The device.")]
JobName = Annotated[
    str | None,
    typer.Argument(metavar="JOB_ID", help="The job's id, the beginning of it, or latest.", show_default=False),
]
SuiteName = Annotated[
    str | None,
    typer.Argument(metavar="SUITE_ID", help="The suite's id, the beginning of it, or latest.", show_default=False),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
AsJsonOr = Annotated[bool, typer.Option("--json", help="Print JSON. A FILE after it has the record written there.")]
JsonFile = Annotated[Path | None, typer.Option("--json-file", metavar="FILE", hidden=True)]
AsCsv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Plot = Annotated[
    Path | None,
    typer.Option(
        "--plot", help="Draw it to a .png or .svg file.", metavar="FILE", show_default=False, callback=drawable
    ),
]
Circuit = Annotated[
    int | None,
    typer.Option(
        "--circuit",
        min=1,
        help="With --plot: draw the counts of this circuit, the first being 1, with the ideal ones beside.",
        metavar="N",
        show_default=False,
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("--output", "-o", help="Write the record to this file.", metavar="FILE", show_default=False),
]
Compilation = Annotated[
    CompilationName | None,
    typer.Option("--compilation", help="How circuits are compiled; the setting unless given.", show_default=False),
]
Prior = Annotated[int | None, typer.Option(min=1, max=10, help="Priority at the provider.", show_default=False)]
Remarks = Annotated[str | None, typer.Option(help="A note for the provider's records.", show_default=False)]
Group = Annotated[str | None, typer.Option(help="A group for the provider's records.", show_default=False)]
Force = Annotated[bool, typer.Option("--force", help="Also on a device that is out of use.")]
Tags = Annotated[
    list[str] | None,
    typer.Option("--tag", metavar="TAG", help="A word to find it by; can be given again.", show_default=False),
]
Components = Annotated[
    list[str] | None, typer.Option("--component", "-c", help="Only this part of the suite; can be given again.")
]
Everything = Annotated[bool, typer.Option("--all", help="Yes, all of a suite that warns of it.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for it, or only look.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Taken for scripts of metriq-gym; no result is cached here.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
DEFAULT_PROVIDER = "local"
DEFAULT_DEVICE = "aer_simulator"
