"""Programs in Python, forked from one process that has imported what they need, in place of being started each anew.

`python -m services.poller` takes most of a second of a core for its imports, and its workers take as much again, which
is more than most tests have them do. What is forked is the same program otherwise: a process of its own, with its own
arguments, variables, folder, output and session, that ends as it would.

All workers of a test run have theirs forked from the same process, `tests.support.forking`, which is started when
first asked and ends with the run.
"""

from __future__ import annotations

import json
import os
import secrets
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import IO, Any
from unittest import mock

ROOT = Path(__file__).parents[2]
NUMBER = struct.Struct("!i")
"""How the number of a process, and its exit code, are told."""
_KILLED = NUMBER.pack(-signal.SIGKILL)
"""The answer that does not come when the process that forks has ended, and taken all it forked along."""
_ADDRESS = "METRIQ_TEST_FORKS"
"""The variable that tells the run's workers where programs are forked."""
_ONE_THREAD = {
    **{f"{library}_NUM_THREADS": "1" for library in ("OPENBLAS", "MKL")},
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""With other threads than its own it is not safe to fork."""
_HEEDED_AT_START = ("PYTHON", "LD_", "COV_")
"""How variables begin that only a program that is started anew heeds."""


class Fork:
    """A program that was forked; what is used of `subprocess.Popen` in place of it."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        stdin: IO[Any] | int = subprocess.DEVNULL,
        stdout: IO[Any] | int = 1,
        stderr: IO[Any] | int = 2,
        pass_fds: Sequence[int] = (),
        start_new_session: bool = False,
    ) -> None:
        order = {
            "arguments": command[1:],
            "variables": dict(os.environ if env is None else env),
            "folder": str(cwd or Path.cwd()),
            "descriptors": [0, 1, 2, *pass_fds],
            "session": start_new_session,
        }
        assert command[0] == sys.executable
        self.args = command
        self.returncode: int | None = None
        self._answer = threading.Lock()
        self._server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with open(os.devnull, "rb") as nothing:
            given = (nothing if stdin == subprocess.DEVNULL else stdin, stdout, stderr, *pass_fds)
            numbers = [each if isinstance(each, int) else each.fileno() for each in given]
            self._server.connect(_address())
            socket.send_fds(self._server, [json.dumps(order).encode()], numbers)
        (self.pid,) = NUMBER.unpack(self._server.recv(NUMBER.size))

    def wait(self, timeout: float | None = None) -> int:
        """Return the exit code, or less than zero for a signal; raises `subprocess.TimeoutExpired`."""
        if self.returncode is None:
            answered = select.poll()
            answered.register(self._server, select.POLLIN)
            ready = answered.poll(None if timeout is None else 1000 * timeout)
            with self._answer:
                if self.returncode is None:
                    if not ready:
                        raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
                    (self.returncode,) = NUMBER.unpack(self._server.recv(NUMBER.size) or _KILLED)
        return self.returncode

    def poll(self) -> int | None:
        """Return the exit code, if it has ended."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0.0)
        return self.returncode

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal, unless it is known to have ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)


def start(command: Sequence[str], **options: Any) -> Fork | subprocess.Popen[bytes]:
    """Fork a Python program, or start it anew where that would be another one."""
    new = {**(options.get("env") or os.environ)}
    changed = {name for name in {*new, *os.environ} if new.get(name) != os.environ.get(name)}
    if sys.platform != "linux" or any(name.startswith(_HEEDED_AT_START) for name in changed):
        return subprocess.Popen(command, **options)
    return Fork(command, **options)


def run(
    command: Sequence[str], *, env: Mapping[str, str], cwd: Path | None = None, timeout: float
) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end, and return what it wrote."""
    with TemporaryFile() as said, TemporaryFile() as told:
        process = start(command, env=env, cwd=cwd, stdin=subprocess.DEVNULL, stdout=said, stderr=told)
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        texts = [os.pread(each.fileno(), os.fstat(each.fileno()).st_size, 0).decode() for each in (said, told)]
    return subprocess.CompletedProcess(command, code, *texts)


def workers() -> AbstractContextManager[object]:
    """While inside, worker processes of this process are forked from one that has what they need already."""
    from metriq_gym.service import pool

    return mock.patch.dict(vars(pool), FOR_WORKERS)


FOR_WORKERS = {"subprocess": SimpleNamespace(Popen=Fork, DEVNULL=subprocess.DEVNULL)}
"""What `metriq_gym.service.pool` is to see in place of what it has imported."""

listens: list[str] = []
"""Where programs are forked, once this process knows."""
_starting = threading.Lock()
_life: list[int] = []
"""The end of a pipe that tells the process that forks that this one lives."""


def offer() -> None:
    """Let this process and those it starts have programs forked; the process that does it starts with the first."""
    address = f"\0metriq-gym-tests-{secrets.token_hex(8)}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(address)
    listener.listen(socket.SOMAXCONN)
    threading.Thread(target=_start_when_asked, args=(listener,), daemon=True).start()
    os.environ[_ADDRESS] = address[1:]


def _start_when_asked(listener: socket.socket) -> None:
    ends, lives = os.pipe()
    _life.append(lives)
    with listener:
        select.select([listener], [], [])
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.forking", str(listener.fileno()), str(ends)],
            env=os.environ | _ONE_THREAD,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno(), ends],
            start_new_session=True,
        )
    os.close(ends)


def _address() -> str:
    with _starting:
        if not listens:
            if _ADDRESS not in os.environ:
                offer()
            listens.append(f"\0{os.environ[_ADDRESS]}")
    return listens[0]
