"""Packages of `examples/`, installed as a third party's are."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path


def installed_into(folder: Path, example: Path) -> Path:
    """Build and install an example's package by pip, with no index to ask, and return the folder that it is in."""
    source = shutil.copytree(example, folder / "source")
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(folder / "installed"), str(source)]
    subprocess.run(command, check=True, capture_output=True, text=True)
    return folder / "installed"
