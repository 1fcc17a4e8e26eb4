"""The checks at a commit are those of `make lint`."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]


def test_hooks_are_the_checks_of_make_lint() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (sources,) = re.findall(r"^SOURCES := (.*)$", makefile, re.MULTILINE)
    (recipe,) = re.findall(r"^lint:.*\n((?:\t.*\n)+)", makefile, re.MULTILINE)
    lines = [
        line.strip().replace("$(BIN)", ".venv/bin").replace("$(SOURCES)", sources).replace("$(MAKE)", "make")
        for line in recipe.splitlines()
    ]
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert [hook["entry"] for hook in repository["hooks"]] == lines
    assert all(hook["language"] == "system" and not hook["pass_filenames"] for hook in repository["hooks"])
