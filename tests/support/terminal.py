"""The command line as typed: in a process of its own, on a pipe or on a terminal."""

from __future__ import annotations

import io
import logging
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from unittest import mock

from tests.support import forks
from tests.support.patience import PATIENCE

CTRL_C = "\x03"
MGYM = (sys.executable, "-m", "metriq_gym")


def mgym(
    environment: Mapping[str, str], *arguments: str, folder: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command with nothing to read, and its output to a file."""
    return forks.run([*MGYM, *arguments], env=environment, cwd=folder, timeout=PATIENCE)


def mgym_here(environment: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command in this process, which saves its start: for commands that only look at the store or at files."""
    from metriq_gym.cli import main

    said, told, code = io.StringIO(), io.StringIO(), 0
    with (
        mock.patch.dict(os.environ, environment, clear=True),
        mock.patch.object(sys, "argv", ["mgym", *arguments]),
        redirect_stdout(said),
        redirect_stderr(told),
    ):
        try:
            main()
        except SystemExit as error:
            code = int(error.code or 0)
        finally:
            logging.disable(logging.NOTSET)
    return subprocess.CompletedProcess(arguments, code, said.getvalue(), told.getvalue())


def on_terminal(
    environment: Mapping[str, str],
    arguments: Sequence[str],
    answers: Sequence[tuple[str, str]] = (),
    folder: Path | None = None,
    columns: int = 120,
) -> tuple[int, str]:
    """Run a command on a terminal; type each answer once its prompt is there. Gives code and output."""
    ours, theirs = pty.openpty()
    process = forks.start(
        [*MGYM, *arguments],
        cwd=folder,
        env={"TERM": "xterm-256color", **environment, "COLUMNS": str(columns), "LINES": "40"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    said, pending, deadline = "", list(answers), time.monotonic() + PATIENCE
    try:
        while time.monotonic() < deadline:
            if not select.select([ours], [], [], 1)[0]:
                continue
            try:
                chunk = os.read(ours, 65536)
            except OSError:  # the terminal's other end is closed
                break
            if not chunk:
                break
            said += chunk.decode(errors="replace")
            if pending and pending[0][0] in said:
                answer = pending.pop(0)[1]
                if answer == CTRL_C:  # the terminal is not the one that controls the process
                    process.send_signal(signal.SIGINT)
                else:
                    os.write(ours, answer.encode())
        return process.wait(PATIENCE), said
    finally:
        os.close(ours)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
