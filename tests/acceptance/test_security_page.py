"""docs/security.md names tests as its evidence: they are there."""

from __future__ import annotations

import re
from pathlib import Path

from metriq_gym.access import ALL

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_test_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`(test_\w+)`", PAGE))
    sources = (ROOT / "tests").rglob("test_*.py")
    defined = {name for source in sources for name in re.findall(r"def (test_\w+)\(", source.read_text())}
    assert named
    assert named - defined == set()


def test_every_user_has_a_row() -> None:
    rows = re.findall(r"^\| (\w+)", PAGE[PAGE.index("| user |") :], re.MULTILINE)
    assert rows[1:] == [rights.user for rights in ALL]
