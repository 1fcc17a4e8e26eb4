"""Prometheus's own checker of rules: the one on PATH, or the one in Debian's package, of which nothing is installed."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.discovery import NoServer, once_a_machine

_KEPT = Path(sys.prefix) / "bin" / "promtool"


def promtool() -> str:
    """Return where it is."""
    if found := shutil.which("promtool"):
        return found
    _fetch()
    if not _KEPT.exists():
        raise NoServer("The tests need promtool on PATH (Debian: apt-get install prometheus).")
    return str(_KEPT)


@once_a_machine
def _fetch() -> None:
    if _KEPT.exists() or not shutil.which("apt-get"):
        return
    with tempfile.TemporaryDirectory() as folder:
        for command in ("apt-get update -qq", "apt-get download -qq prometheus", "dpkg-deb -x prometheus_*.deb ."):
            subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
        if (unpacked := Path(folder) / "usr" / "bin" / "promtool").exists():
            shutil.move(unpacked, _KEPT)
