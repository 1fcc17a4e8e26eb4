"""The example of a third party's provider, installed as the separate package it is: its own tests pass."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.examples import installed_into
from tests.support.readme import ROOT, blocks

EXAMPLE = ROOT / "examples" / "third_party_provider"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return installed_into(tmp_path_factory.mktemp("third_party"), EXAMPLE)


def python(installed: Path, cwd: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment = {**ours, "PYTHONPATH": str(installed), "COLUMNS": "200", **variables}
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_it_passes_the_contract_and_runs_a_benchmark_through_all_services(installed: Path, tmp_path: Path) -> None:
    shutil.copytree(EXAMPLE / "tests", tmp_path / "tests")
    ran = python(installed, tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ".", "tests")
    assert ran.returncode == 0, ran.stdout
    passed = re.search(r"^(\d+) passed", ran.stdout, re.MULTILINE)
    assert passed, ran.stdout
    assert int(passed[1]) > 15, "the contract, and a benchmark"


def test_without_its_token_it_is_one_line(installed: Path, tmp_path: Path) -> None:
    asked = python(installed, tmp_path, "-m", "metriq_gym", "devices", "--provider", "toy")
    assert asked.returncode != 0
    assert "provider 'toy' needs a token: set METRIQ_TOY_TOKEN, or METRIQ_TOY_TOKEN_FILE" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_the_page_shows_what_the_package_has() -> None:
    has = [(EXAMPLE / path).read_text(encoding="utf-8") for path in ("metriq_toy/__init__.py", "tests/test_toy.py")]
    lines = {line for text in has for line in text.splitlines()}
    for block in blocks("python", ROOT / "docs" / "providers.md"):
        assert [line for line in block.splitlines() if line not in lines] == []
