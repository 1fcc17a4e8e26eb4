"""``mgym job replay``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metriq_gym.cli.errors import FAILED, Usage
from metriq_gym.cli.options import AsJsonOr, JsonFile
from metriq_gym.cli.output import console, emit, say
from metriq_gym.client.configurations import read_configuration
from metriq_gym.errors import InvalidRequest
from metriq_gym.jobs.replay import replay as score_again
from metriq_gym.run.files import write_text
from metriq_gym.terminal import report
from metriq_gym.wording import as_json


def replay(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A file written by `job poll --include-raw`.")],
    json: AsJsonOr = False,
    json_file: JsonFile = None,
) -> None:
    """Score a job again from its counts alone.

    The exit code is 1 when the result is not the same.
    """
    document = read_configuration(file)
    try:
        result = score_again(document)
    except InvalidRequest as error:
        raise Usage(
            "\n  ".join([f"{file} is not what `mgym job poll --include-raw` writes:", *map(str, error.problems)])
        ) from None
    if json_file is not None:
        say(f"wrote {write_text(json_file, as_json(result) + chr(10))}")
    if json:
        emit(result)
    else:
        rows = ([name, report.number(value)] for name, value in result.items())
        report.show_table(console(), ("metric", "value"), rows)
    recorded = document.get("result")
    if recorded is not None and recorded != result:
        say("the file records another result; it is of another version, or was changed")
        raise typer.Exit(FAILED)
    say("identical to the recorded result" if recorded else "the file records no result to compare with")
