"""docs/gallery.md: its pictures are what its commands draw."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from metriq_gym.constants import JobType
from tests.docs.gallery import FOLDER, PAGE, blocks, run

SHOWN = re.findall(r"^!\[.*\]\(gallery/(.*)\)$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
DRAWN = [name for block in blocks() for name in re.findall(r"--plot docs/gallery/(\S+)", block)]
LARGEST = 150_000
"""Bytes; what a page may load for one picture."""


def words(picture: Path) -> str:
    return " ".join(ET.parse(picture).getroot().itertext())


def test_every_picture_has_its_command_and_every_command_its_picture() -> None:
    assert SHOWN == DRAWN
    assert sorted(path.name for path in FOLDER.iterdir()) == sorted(DRAWN)


def test_every_benchmark_is_there() -> None:
    titles = " ".join(map(words, FOLDER.iterdir()))
    assert [str(name) for name in JobType if f"{name} on local/" not in titles] == []


@pytest.mark.parametrize("name", DRAWN)
def test_pictures_are_small(name: str) -> None:
    assert (FOLDER / name).stat().st_size < LARGEST


def test_a_command_draws_the_picture_that_is_shown(tmp_path: Path) -> None:
    """One of them; the others differ in what they run, and tests/unit/test_plots.py draws them all."""
    (block,) = [block for block in blocks() if "wit.svg" in block]
    run(block, tmp_path / "data", tmp_path)
    assert words(tmp_path / "wit.svg").split()[:8] == words(FOLDER / "wit.svg").split()[:8]
