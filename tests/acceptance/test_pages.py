"""What the pages point at is there: files, sections, tests, settings, targets of make, commands of mgym with their
options, metrics, alerts, panels of the dashboard, and what is logged."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import typer

from metriq_gym.cli import app
from metriq_gym.cli.lazy import LazyCommand
from metriq_gym.telemetry import metrics
from tests.support.variables import described

ROOT = Path(__file__).parents[2]
PAGES = sorted(
    page
    for pattern in ("*.md", "docs/**/*.md", "deploy/**/*.md", "examples/**/*.md", "tests/**/*.md")
    for page in ROOT.glob(pattern)
    if page.name != "api_reference.md"  # somebody else's page
)
OF_OTHERS = r"METRIQ_(TEST|IMAGE|TOY)_\w+"
"""Variables that the tests, docker-compose.yml and the example of a provider read."""

OF_THE_READER = {"tests/test_toy.py", "deploy/kubernetes/overlays/mine/kustomization.yaml"}
"""Files that a page tells how to write."""

pytestmark = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def prose(page: Path) -> str:
    return re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def sections(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@cache
def names_of_tests() -> set[str]:
    sources = [source.read_text(encoding="utf-8") for source in (ROOT / "tests").rglob("test_*.py")]
    return {name for source in sources for name in re.findall(r"def (test_\w+)\(", source)}


def unknown_commands(text: str) -> Iterator[str]:
    for words in re.findall(r"(?:`|\$ |^|bin/)mgym ((?:[a-z]+ ?)+)", text, re.MULTILINE):
        command = typer.main.get_command(app)
        for word in words.split():
            known = getattr(command, "commands", None)
            if known is None:
                break
            if word not in known:
                yield words
                break
            command = known[word]


def typed(text: str) -> Iterator[Sequence[str]]:
    """The words after `mgym`, of each command in text or in a block."""
    joined = re.sub(r"\\\n\s*", " ", text)
    for command in re.findall(r"(?:`|\$ |^|bin/)mgym ([a-z][^`|#;&)\n]*)", joined, re.MULTILINE):
        yield command.split()


def unknown_options(words: Sequence[str]) -> list[str]:
    command = typer.main.get_command(app)
    known = {"--help"}
    for word in words:
        command = getattr(command, "commands", {}).get(word, command)
    command = _loaded(command)
    known |= {name for each in command.params for name in (*each.opts, *each.secondary_opts)}
    named = [re.match(r"--?[a-z][a-z-]*", word) for word in words]
    return [found.group() for found in named if found and found.group() not in known]


@cache
def _loaded(command: Any) -> Any:
    return command.loaded() if isinstance(command, LazyCommand) else command


@cache
def names_of_metrics() -> set[str]:
    shown = set(re.findall(r"^\| `(metriq_\w+)`", metrics.table(), re.MULTILINE))
    return shown | {f"{name}{suffix}" for name in shown for suffix in ("_bucket", "_count", "_sum")}


@cache
def panels() -> set[str]:
    dashboard = json.loads((ROOT / "deploy/grafana/dashboards/metriq-gym.json").read_text())
    return {each["title"] for panel in dashboard["panels"] for each in (panel, *panel.get("panels", ()))}


@cache
def sources() -> str:
    files = [path for room in ("shared", "services") for path in (ROOT / room).rglob("*.py")]
    return "\n".join(path.read_text(encoding="utf-8") for path in files)


def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if "://" in link:
            continue
        name, _, section = link.partition("#")
        target = page.parent / name if name else page
        assert target.exists(), link
        assert not section or section in sections(target), link


def test_tests_that_are_named_exist(page: Path) -> None:
    assert set(re.findall(r"`(test_\w+)`", page.read_text(encoding="utf-8"))) <= names_of_tests()


def test_settings_targets_and_commands_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    settings = described().keys()
    named = {name for name in re.findall(r"\bMETRIQ_[A-Z_]*[A-Z]\b", text) if not re.fullmatch(OF_OTHERS, name)}
    assert {name.removesuffix("_FILE") for name in named} <= settings
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"(?:`|^)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    assert list(unknown_commands(text)) == []
    assert [(words, wrong) for words in typed(text) if (wrong := unknown_options(words))] == []


def test_metrics_alerts_and_panels_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    named = set(re.findall(r"`(metriq_(?!gym)[a-z_]+[a-z])(?:\{[^`]*)?`", text))
    assert named <= names_of_metrics()
    alerts = set(re.findall(r"alert: (\w+)", (ROOT / "deploy/prometheus/alerts.yml").read_text()))
    assert set(re.findall(r"\bMetriq(?!Gym)[A-Z]\w+", text)) <= alerts
    assert set(re.findall(r"[Pp]anel \"([^\"]+)\"", re.sub(r"\s+", " ", text))) <= panels()


def test_files_that_are_named_exist(page: Path) -> None:
    named = re.findall(r"`((?:shared|services|tests|deploy|docs|examples)/[\w./-]+)`", page.read_text(encoding="utf-8"))
    assert [name for name in named if not (ROOT / name).exists() and name not in OF_THE_READER] == []


def test_tests_that_are_named_by_their_file_are_in_it(page: Path) -> None:
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", page.read_text(encoding="utf-8")):
        assert f"def {name}(" in (ROOT / file).read_text(encoding="utf-8")


def test_what_the_log_is_said_to_say_is_logged(page: Path) -> None:
    if page.name != "operations.md":
        return
    text = re.sub(r"\s+", " ", prose(page))
    named = set(re.findall(r"log (?:says|has) `([^`]+)`|tell of each once \(`([^`]+)`|the line `([^`]+)`", text))
    events = {each for found in named for each in found if each} | set(re.findall(r"`(delivery\.\w+)`", text))
    assert {"cannot be counted", "delivery.handled", "log lines lost"} <= events
    assert [each for each in events if f'"{each}"' not in sources()] == []
