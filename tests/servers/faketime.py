"""A clock of a server's own that a test can set: libfaketime, from Debian's package, of which nothing is installed."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.servers.discovery import NoServer, once_a_machine

_NAME = "libfaketimeMT.so.1"
_KEPT = Path(sys.prefix) / "lib" / _NAME
LOOKS_SECONDS = 1
"""How often a server looks at how its clock is set."""


class SettableClock:
    """The clock of a server that is started with `environment`; the one that only measures spans goes on as it did."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.set(0)

    def set(self, seconds: int) -> None:
        """Let it be so far ahead, or behind if negative, from within `LOOKS_SECONDS` on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+d}\n", encoding="ascii")
        new.replace(self._file)

    def environment(self) -> dict[str, str]:
        """Return the environment of the server."""
        return {
            **os.environ,
            "LD_PRELOAD": str(_library()),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_CACHE_DURATION": str(LOOKS_SECONDS),
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }


def _library() -> Path:
    installed = next(Path("/usr/lib").glob(f"*/faketime/{_NAME}"), None)
    if installed is not None:
        return installed
    _fetch()
    if not _KEPT.exists():
        raise NoServer("The tests need libfaketime (Debian: apt-get install libfaketime).")
    return _KEPT


@once_a_machine
def _fetch() -> None:
    if _KEPT.exists() or not shutil.which("apt-get"):
        return
    with tempfile.TemporaryDirectory() as folder:
        for command in ("apt-get update -qq", "apt-get download -qq libfaketime", "dpkg-deb -x libfaketime_*.deb ."):
            subprocess.run(command, shell=True, cwd=folder, capture_output=True, check=False)
        if (unpacked := next(Path(folder).glob(f"usr/lib/*/faketime/{_NAME}"), None)) is not None:
            shutil.move(unpacked, _KEPT)
