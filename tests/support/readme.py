"""The README's code blocks, run as printed but for the addresses, which are other ones in a test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
BIN = Path(sys.executable).parent

PATIENCE = 1200
"""Seconds; the longest of it is building images."""

# Not every machine has the real one.
_CURL = f"""curl() {{ "{sys.executable}" -c 'import sys; from urllib.request import urlretrieve
urlretrieve(sys.argv[1], sys.argv[1].split("/")[-1])' "$2"; }}
"""


def blocks(language: str, page: Path = README) -> list[str]:
    """Return the blocks of code in a language, in the order they are printed."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


def block(language: str, words: str) -> str:
    """Return the one block in a language that has these words."""
    (found,) = [each for each in blocks(language) if words in each]
    return found


@dataclass(frozen=True)
class Addresses:
    """Where the servers are."""

    amqp_url: str
    management_url: str
    mongo_url: str

    def in_(self, code: str) -> str:
        """Return printed code with these addresses in place of the printed ones."""
        management = urlsplit(self.management_url)
        server = f"{management.scheme}://{management.hostname}:{management.port}"
        options = (
            f"--host {management.hostname} --port {management.port} "
            f"--vhost {unquote(urlsplit(self.amqp_url).path[1:]) or '/'} "
            f"--username {management.username} --password {management.password}"
        )
        return (
            code.replace("amqp://metriq:metriq@localhost/", self.amqp_url)
            .replace("http://localhost:15672", server)
            .replace("--username metriq --password metriq", options)
            .replace("mongodb://metriq:metriq@localhost/?directConnection=true", self.mongo_url)
        )


def run_python(code: str, folder: Path) -> None:
    """Run a program; the test fails when it does."""
    script = folder / "printed.py"
    script.write_text(code)
    _run([sys.executable, str(script)], folder, {})


def run_shell(code: str, folder: Path, environment: Mapping[str, str] | None = None) -> str:
    """Run lines as typed in a shell and return what they print; the test fails when they do."""
    return _run(["bash", "-euc", _CURL + code.replace(".venv/bin/", f"{BIN}/")], folder, environment or {})


def _run(command: list[str], folder: Path, environment: Mapping[str, str]) -> str:
    everything = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", **environment}
    done = subprocess.run(command, cwd=folder, env=everything, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
