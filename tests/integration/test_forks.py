"""A program that is forked is, to those who started it, the one that would have been started."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.support import forks
from tests.support.patience import PATIENCE

TELLS = """
import json, os, sys
print(json.dumps({
    "arguments": sys.argv[1:],
    "folder": os.getcwd(),
    "variables": dict(os.environ),
    "descriptors": sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}")),
    "session": os.getsid(0) == os.getpid(),
    "threads": len(os.listdir("/proc/self/task")),
}))
print("told", file=sys.stderr)
sys.exit(7)
"""


def python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def test_it_has_what_it_was_given_and_no_more(tmp_path: Path) -> None:
    given = {"PATH": "/bin", "METRIQ_WORKERS": "3"}
    with (tmp_path / "said").open("wb") as said, (tmp_path / "told").open("wb") as told:
        number = said.fileno()
        process = forks.Fork(
            python(TELLS, "a b", "ü"),
            env=given,
            cwd=tmp_path,
            stdout=said,
            stderr=told,
            pass_fds=[number],
            start_new_session=True,
        )
        assert process.wait(PATIENCE) == 7
    found = json.loads((tmp_path / "said").read_text())
    assert found == {
        "arguments": ["a b", "ü"],
        "folder": str(tmp_path),
        "variables": given,
        "descriptors": [0, 1, 2, number],
        "session": True,
        "threads": 1,
    }
    assert (tmp_path / "told").read_text() == "told\n"


@pytest.mark.parametrize(
    ("code", "exit_code", "told"),
    [
        ("", 0, ""),
        ("raise SystemExit('no')", 1, "no\n"),
        ("import atexit, sys; atexit.register(print, 'bye', file=sys.stderr)", 0, "bye\n"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM, ""),
        ("import os; os._exit(9)", 9, ""),
    ],
)
def test_it_ends_as_it_would(code: str, exit_code: int, told: str) -> None:
    done = forks.run(python(code), env=dict(os.environ), timeout=PATIENCE)
    plain = subprocess.run(python(code), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (plain.returncode, plain.stderr) == (exit_code, told)


def test_it_can_be_waited_for_and_ended() -> None:
    process = forks.Fork(python("import signal; signal.pause()"))
    assert process.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.01)
    process.terminate()
    assert process.wait(PATIENCE) == process.poll() == -signal.SIGTERM
    assert not psutil.pid_exists(process.pid)


def test_what_would_be_another_program_is_started_anew() -> None:
    changed = {**os.environ, "PYTHONDONTWRITEBYTECODE": "surely"}
    process = forks.start(python(""), env=changed)
    assert isinstance(process, subprocess.Popen)
    assert process.wait() == 0


def test_all_end_with_the_process_that_had_them_started() -> None:
    user = subprocess.Popen(
        python(
            "import signal, sys; from tests.support.forks import Fork\n"
            "print(Fork([sys.executable, '-c', 'import signal; signal.pause()']).pid, flush=True); signal.pause()"
        ),
        env={name: value for name, value in os.environ.items() if name != "METRIQ_TEST_FORKS"},
        stdout=subprocess.PIPE,
    )
    assert user.stdout is not None
    forked = psutil.Process(int(user.stdout.readline()))
    user.kill()
    user.wait()
    assert not psutil.wait_procs([forked], timeout=PATIENCE)[1]
