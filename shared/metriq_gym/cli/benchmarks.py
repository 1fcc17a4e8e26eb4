"""``mgym benchmarks`` and ``mgym schema``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from metriq_gym.benchmarks import names
from metriq_gym.benchmarks import schema as schema_of
from metriq_gym.cli.options import AsJson
from metriq_gym.cli.output import console, emit
from metriq_gym.client.configurations import examples, read_configuration
from metriq_gym.schema_validator import load_schema
from metriq_gym.terminal import report


def benchmarks(json: AsJson = False) -> None:
    """List benchmarks, parameters and examples."""
    shipped = {read_configuration(example)["benchmark_name"]: example for example in examples()}
    found: list[dict[str, Any]] = []
    for name in names():
        parameters = schema_of(name)["properties"].keys() - {"benchmark_name"}
        ordered = [each for each in schema_of(name)["properties"] if each in parameters]
        found.append({"benchmark_name": name, "parameters": ordered, "example": shipped.get(name)})
    if json:
        emit(found)
        return
    rows = ([each["benchmark_name"], ", ".join(each["parameters"]), each["example"] or ""] for each in found)
    report.show_table(console(), ("benchmark", "parameters", "example"), rows)


def _names(beginning: str) -> list[str]:

    return [name for name in names() if name.startswith(beginning)]


def schema(
    name: Annotated[str, typer.Argument(metavar="BENCHMARK", help="A benchmark's name.", autocompletion=_names)],
) -> None:
    """Print the JSON Schema of a configuration."""
    emit(load_schema(name))
