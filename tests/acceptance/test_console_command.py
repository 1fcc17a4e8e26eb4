"""`mgym console` on a laptop, and the calls that docs/console.md prints, made of it as they are printed."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx
import pytest

from tests.support.patience import PATIENCE
from tests.support.readme import ROOT, blocks
from tests.support.terminal import MGYM, mgym_here

PAGE = ROOT / "docs" / "console.md"
PRINTED = "http://127.0.0.1:8090"


@dataclass
class Curl:
    """What a call of curl asks for."""

    url: str = ""
    method: str = "GET"
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def ask(self, url: str) -> httpx.Response:
        """Ask it of another address than the one that is printed."""
        address = self.url.replace(PRINTED, url)
        return httpx.request(self.method, address, headers=self.headers, content=self.body, timeout=PATIENCE)


def calls() -> list[Curl]:
    """Return the calls of curl that the page prints, in their order."""
    lines = "".join(blocks("sh", PAGE)).replace("\\\n", " ").splitlines()
    return [read(shlex.split(line)[1:]) for line in lines if line.startswith("curl ")]


def read(words: list[str]) -> Curl:
    """Return what curl's arguments mean; raises `KeyError` for an option that this does not know."""
    found, rest = Curl(), iter(words)
    for word in rest:
        if not word.startswith("-"):
            found.url = word
        elif word == "-X":
            found.method = next(rest)
        elif word == "-H":
            name, _, value = next(rest).partition(": ")
            found.headers[name] = value
        elif word == "-d":
            found.body = next(rest)
        elif word != "-s":
            raise KeyError(word)
    return found


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where the command serves; it ends by Ctrl-C, and says so."""
    folder = tmp_path_factory.mktemp("laptop")
    environment = {key: value for key, value in os.environ.items() if not key.startswith("METRIQ_")}
    environment |= {"METRIQ_DATA_DIR": str(folder), "HOME": str(folder), "METRIQ_WORKERS": "1"}
    command = [*MGYM, "console", "--no-open", "--port", "0"]
    with subprocess.Popen(
        command, env=environment, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "the console is at " in line:
                break
        assert "the console is at " in said, said
        yield said.partition("the console is at ")[2].split("/ ")[0]
        process.send_signal(signal.SIGINT)
        assert "stopped" in process.communicate(timeout=PATIENCE)[0]
        assert process.returncode == 0


def test_the_documented_calls_do_what_is_said_of_them(url: str) -> None:
    request, jobs, estimate, results, status = calls()
    asked = request.ask(url)
    assert (asked.status_code, asked.headers["location"]) == (202, "/api/v1/jobs/my-first")
    assert request.ask(url).json() == asked.json()
    with httpx.stream("GET", f"{url}/api/v1/jobs/my-first/events", timeout=PATIENCE) as events:
        job = httpx.get(f"{url}/api/v1/jobs/my-first")
        told = events.iter_lines()
        while job.status_code == 404 or job.json()["state"] != "exported":
            next(line for line in told if line.startswith("data:"))
            job = httpx.get(f"{url}/api/v1/jobs/my-first")
    assert [each["id"] for each in jobs.ask(url).raise_for_status().json()["jobs"]] == ["my-first"]
    assert estimate.ask(url).raise_for_status().json()["predicted_by"] == "local/aer_simulator"
    lines = results.ask(url).raise_for_status().text.splitlines()
    assert [line.split(",")[0] for line in lines] == ["job_id", "my-first", "my-first"]
    assert json.loads(status.ask(url).raise_for_status().text)["held"] == []
    page = httpx.get(url)
    assert page.status_code == 200
    assert "Overview" in page.text


def test_it_has_the_name_that_people_know() -> None:
    known, own = (mgym_here({}, name, "--help").stdout for name in ("dashboard", "console"))
    assert "--no-open" in own
    assert known.split() == own.replace("console [", "dashboard [").split()
