"""Writes docs/cli.md: the commonest tasks at the command line, as recorded by running them.

Run it with `python -m tests.acceptance.transcripts`.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import tempfile
from collections.abc import Mapping
from pathlib import Path

from tests.support.terminal import CTRL_C, mgym, on_terminal

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
COMMAND = re.compile(r"^\$ (mgym .*?)(?:  # exit code (\d+))?$", re.MULTILINE)

FILES = {
    "wrong.json": {"benchmark_name": "WIT", "num_qubits": 9, "shot": 1000},
    "deep.json": {"benchmark_name": "Quantum Volume", "num_qubits": 22, "shots": 1000, "trials": 20},
    "small.json": {
        "name": "small",
        "benchmarks": [
            {"name": "teleport", "config": {"benchmark_name": "WIT", "num_qubits": 7}},
            {"name": "kernel", "config": {"benchmark_name": "QML Kernel", "num_qubits": 5}},
            {"name": "too wide", "config": {"benchmark_name": "QML Kernel", "num_qubits": 20}},
        ],
    },
}
"""What the commands read besides shipped examples."""

TASKS: dict[str, tuple[str, list[str]]] = {
    "See what there is": (
        "",
        ["mgym benchmarks", "mgym devices --provider local --json | head -12"],
    ),
    "Run a benchmark and see its result": (
        "Where the output is not a terminal, or with `--json`, the record is printed as JSON.",
        ["mgym run wit.example.json"],
    ),
    "Find out what a job would ask of a device": (
        "Nothing is submitted.",
        ["mgym job estimate wit.example.json --device fake_jakarta"],
    ),
    "Dispatch now, look later": (
        "`--id` is optional; a job that a process leaves unfinished is finished by the next, or by the services.",
        [
            "mgym job dispatch wit.example.json --device fake_jakarta --id noisy-wit --tag night",
            "mgym job poll noisy-wit",
        ],
    ),
    "Look at jobs": (
        "An id may be shortened to what no other begins with; `latest` is the newest. Without an id a terminal asks. "
        "`--watch` keeps a list up to date until Ctrl-C.",
        [
            "mgym job list --since 7d --tag night",
            "mgym job list --tag night --watch",
            "mgym job view noisy",
            "mgym job history latest",
        ],
    ),
    "Keep the counts, score them again, draw them": (
        "",
        [
            "mgym job poll noisy-wit --include-raw raw.json --plot counts.png --json | head -4",
            "mgym job replay raw.json",
        ],
    ),
    "Run it again, compare, draw": (
        "`mgym job compare` tells differences in units of their error where the scores may be compared. "
        "`mgym plot job`, `suite` and `history` draw what `--plot` does elsewhere.",
        [
            "mgym job rerun noisy-wit --id again",
            "mgym job poll again --json | head -4",
            "mgym job compare noisy-wit again",
            "mgym job list --tag night --csv",
            "mgym plot history --tag night history.svg",
        ],
    ),
    "Results as a table, and how they drift": (
        "`mgym results --format csv`, `json` or `parquet` is for programs: `-o FILE` writes it. What the words of "
        "`mgym trend` mean is in [trends.md](trends.md).",
        ["mgym results --tag night --metric score", "mgym trend fake_jakarta score"],
    ),
    "Run it every night": (
        "The services do, or `mgym service run all` while it runs; [schedules.md](schedules.md) has what becomes of "
        "ticks that are missed or that a budget holds.",
        [
            'mgym schedule add nightly wit.example.json -d fake_jakarta --cron "0 3 * * *" --tz Europe/Berlin',
            "mgym schedule list",
            "mgym schedule next nightly -n 2",
            "mgym schedule pause nightly",
            "mgym schedule run nightly",
            "mgym schedule show nightly",
            "mgym schedule resume nightly",
            "mgym schedule delete nightly --yes",
        ],
    ),
    "Stop what is no longer wanted": (
        "Of a job that runs at a provider the result is not fetched.",
        ["mgym job dispatch deep.json --id deep", "mgym job cancel deep"],
    ),
    "Run a suite": (
        "The exit code is 1 when one of its jobs failed. `mgym suite list` names the suites that are shipped.",
        [
            "mgym suite dispatch small.json --device fake_jakarta --id tonight",
            "mgym suite poll tonight --plot scores.svg",
            "mgym suite cancel tonight --yes",
        ],
    ),
    "Publish a result": (
        "Without `--dry-run` the exporter service opens the pull request; `METRIQ_GITHUB_TOKEN` and "
        "`METRIQ_GITHUB_REPOS` say how and where. `--to json` writes the file in the folder of results again. After an "
        "outage of a target `--all`, `--reason WORDS` or `--since TIME` take every record whose export failed, and "
        "`mgym job retry` every job that failed as well; `--dry-run` lists them.",
        ["mgym job upload noisy-wit --dry-run | head -8", "mgym job upload noisy-wit --to json"],
    ),
    "See what is wrong": (
        "",
        ["mgym run wrong.json", "mgym job view nothing", "mgym status", "mgym doctor"],
    ),
    "Back up, and delete what is old": (
        "What is not exported stays. With `METRIQ_PURGE_…` services do by themselves what `mgym purge` does "
        "([operations.md](operations.md#retention)).",
        [
            "mgym backup metriq.backup",
            "mgym purge --counts-after 90 --jobs-after 730 --dry-run",
            "mgym purge --counts-after 90 --yes",
        ],
    ),
    "Move in from metriq-gym's own tool": (
        "Doing it again changes nothing. Lines that are no jobs are named, and the exit code is 1. Files of the "
        "dataset are taken over too, and `-` is standard input.",
        ["mgym import metriq_gym_jobs.jsonl"],
    ),
}

IMPORTED = {
    "id": "93a06a18-41d8-475a-a030-339fbf3accb9",
    "job_type": "Quantum Volume",
    "params": {"benchmark_name": "Quantum Volume", "num_qubits": 5, "shots": 1000, "trials": 100},
    "data": {"provider_job_ids": ["cz2y3wm3qsjg008g7be0"]},
    "provider_name": "ibm",
    "device_name": "ibm_sherbrooke",
    "dispatch_time": "2025-01-15T12:00:00",
    "result_data": {"hog_prob": 0.74},
}

INTRODUCTION = """# The command line

Recorded by `python -m tests.acceptance.transcripts`, which runs every command below; a test runs them again.

Without `METRIQ_AMQP_URL` and `METRIQ_MONGO_URL` a command does the work itself, on a private database in
`METRIQ_DATA_DIR`; with them it is a client of the running services. Ctrl-C leaves jobs running and says how to return.
That database waits three minutes for the next command (`METRIQ_MONGOD_STAY_SECONDS`); `mgym stop` stops it at once.
`mgym --install-completion` completes commands, options, configurations and providers in your shell. Data go to standard
output, everything else to standard error; `--json` prints data as JSON; `NO_COLOR` is honoured; `mgym --debug …` shows
logs and tracebacks.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | the job or the request failed or was refused |
| 2 | wrong use, or a file that cannot be read |
| 3 | nothing of that name |
| 4 | a server is away; trying again later may help |
| 5 | not finished yet (`poll --no-wait`) |
| 6 | held until an operator decides (`mgym job resolve`) |
| 70 | a defect of ours |
| 130 | interrupted by Ctrl-C |

A job whose submission may or may not have been accepted is held: `mgym status` shows it, and
`mgym job resolve JOB` with `--adopt ID`, `--resubmit` or `--fail` decides.

A message that a service gave up, after ten attempts that ended in an error nobody expected or with the process,
becomes a dead letter: `mgym dead list` and `mgym dead show ID` say why, `mgym dead replay` hands letters back to their
service once that is mended, `mgym dead drop` deletes them. They are chosen by ids, by `--job`, `--reason` and
`--service`, or `--all`; the `METRIQ_AMQP_URL` has to be an operator's. The job of such a message is held until a replay
lets it go on or `mgym job resolve JOB --fail` gives it up.
"""

_WIPED = "\x1b[2K"
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def prepare(folder: Path) -> None:
    """Write the files that the commands read."""
    for name, document in FILES.items():
        (folder / name).write_text(json.dumps(document))
    (folder / "metriq_gym_jobs.jsonl").write_text(json.dumps(IMPORTED) + "\n")


def run(command: str, environment: Mapping[str, str], folder: Path) -> tuple[int, str]:
    """Run a command as a shell on a terminal would; only its first part's exit code counts."""
    first, _, rest = command.partition(" | ")
    arguments = shlex.split(first)[1:]
    if "--watch" in arguments:  # until Ctrl-C, once there is a row; each drawing wipes out the one before
        code, said = on_terminal({**environment, "NO_COLOR": "1"}, arguments, [("local/", CTRL_C)], folder)
        said = said.rpartition(_WIPED)[2]
    else:
        code, said = on_terminal({**environment, "NO_COLOR": "1", "TERM": "dumb"}, arguments, folder=folder)
    lines = [line.rstrip() for line in _CONTROL.sub("", said).replace("\r\n", "\n").splitlines()]
    shown = int(match.group(1)) if (match := re.fullmatch(r"head -(\d+)", rest)) else len(lines)
    return code, "\n".join([*lines[:shown], *(["…"] if shown < len(lines) else [])])


def transcript(environment: Mapping[str, str], folder: Path) -> str:
    """Run everything and return the page."""
    parts = [INTRODUCTION]
    for title, (text, commands) in TASKS.items():
        parts.append(f"## {title}\n")
        if text:
            parts.append(f"{text}\n")
        for command in commands:
            code, said = run(command, environment, folder)
            remark = f"  # exit code {code}" if code else ""
            body = said.replace(str(folder), "~").strip("\n")
            parts.append(f"```console\n$ {command}{remark}\n{body}\n```\n")
    return "\n".join(parts)


def recorded() -> list[tuple[str, int]]:
    """The commands of the page and their exit codes."""
    return [(command, int(code or 0)) for command, code in COMMAND.findall(PAGE.read_text(encoding="utf-8"))]


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        environment = {**os.environ, "METRIQ_DATA_DIR": str(folder / "data")}
        PAGE.write_text(transcript(environment, folder), encoding="utf-8")
        mgym(environment, "stop")  # which else is in the folder that goes


if __name__ == "__main__":
    main()
