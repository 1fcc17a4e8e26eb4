"""What the pages point at is there: files, sections, tests, settings, targets of make, commands of mgym."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import typer

from metriq_gym.cli import app
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
