"""The Python interpreters of this machine that the project supports."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

SUPPORTED = ("3.11", "3.12", "3.13")


def _candidates(version: str) -> Iterator[str]:
    if sys.version.startswith(version):
        yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    yield from map(str, sorted((Path.home() / ".pyenv" / "versions").glob(f"{version}.*/bin/python")))


def _works(command: str) -> bool:
    return subprocess.run([command, "-c", "import venv"], capture_output=True).returncode == 0


def interpreters() -> dict[str, str]:
    """Version → command; at least the one that runs the tests."""
    found = {version: next(filter(_works, _candidates(version)), None) for version in SUPPORTED}
    return {version: command for version, command in found.items() if command}
