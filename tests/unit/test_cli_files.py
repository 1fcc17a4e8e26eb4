"""``--json`` prints; with a file after it the record goes there, as scripts written for metriq-gym expect."""

from __future__ import annotations

import pytest
from typer.core import TyperCommand, TyperGroup

from metriq_gym.cli import COMMANDS
from metriq_gym.cli.lazy import LazyCommand
from metriq_gym.cli.words import split_files


def command(group: str, name: str) -> TyperCommand:
    found = COMMANDS[group]
    assert isinstance(found, TyperGroup)
    lazy = found.commands[name]
    assert isinstance(lazy, LazyCommand)
    return lazy.loaded()


@pytest.mark.parametrize(
    ("words", "split"),
    [
        ("latest --json results.json", "latest --json-file results.json"),
        ("latest --json results", "latest --json-file results"),
        ("--json results latest", "--json-file results latest"),
        ("--json results.json", "--json-file results.json"),
        ("--json out/results", "--json-file out/results"),
        ("--json=results", "--json-file=results"),
        ("latest --json", "latest --json"),
        ("--json latest", "--json latest"),
        ("--json bo.001", "--json bo.001"),
        ("--json --plot a.png", "--json --plot a.png"),
        ("--plot a.png --json latest", "--plot a.png --json latest"),
        ("latest --include-raw raw.json --json", "latest --include-raw-file raw.json --json"),
        ("latest --json a.json --include-raw", "latest --json-file a.json --include-raw"),
        ("--no-cache --json a.json -- latest", "--no-cache --json-file a.json -- latest"),
        ("", ""),
    ],
)
def test_a_file_may_follow(words: str, split: str) -> None:
    assert split_files(command("job", "poll"), words.split()) == split.split()


@pytest.mark.parametrize(("group", "name"), [("job", "poll"), ("job", "replay"), ("suite", "poll")])
def test_commands_that_write_json_in_metriq_gym_do_so_here(group: str, name: str) -> None:
    assert split_files(command(group, name), ["x", "--json", "results"]) == ["x", "--json-file", "results"]


def test_other_commands_keep_their_words() -> None:
    assert split_files(command("job", "view"), ["--json", "results.json"]) == ["--json", "results.json"]
