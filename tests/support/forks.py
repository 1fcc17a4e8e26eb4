"""Programs in Python, forked from one process that has imported what they need, in place of being started each anew.

`python -m services.poller` takes most of a second of a core for its imports, and its workers take as much again, which
is more than most tests have them do. What is forked is the same program otherwise: a process of its own, with its own
arguments, variables, folder, output and session, that ends as it would.

``python -m tests.support.forks LISTENER LIFE`` forks a program for each connection that it is offered, as an order
says that comes with the program's descriptors. What is forked answers with its number, and when it has ended, how is
answered for it. When the process that started this one ends, so does this one, and all that it has forked.
"""

from __future__ import annotations

import fcntl
import gc
import importlib
import json
import os
import runpy
import secrets
import select
import selectors
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import IO, Any
from unittest import mock

from metriq_gym.service import forkserver, pool
from tests.servers.guard import die_with_parent

PRELOAD = (
    *("services.dispatcher", "services.poller", "services.scorer", "services.exporter", "services.embedded"),
    *("metriq_gym.service.service", "metriq_gym.service.healthcheck", "metriq_gym.run", "metriq_gym.exporters"),
    *("metriq_gym.cli.job", "metriq_gym.cli.status", "metriq_gym.cli.pictures", "metriq_gym.terminal.estimates"),
    *("metriq_gym.providers.aer.plugin", "metriq_gym.providers.aer.provider", "metriq_gym.providers.tyxonq.plugin"),
    *("metriq_gym.exporters.json_exporter", "metriq_gym.exporters.github_pr_exporter", "jsonschema", "uvloop"),
    *("tests.faults.doomed", *forkserver.PRELOAD),
)
ROOT = Path(__file__).parents[2]
_ORDER_BYTES = 2**20
_NUMBER = struct.Struct("!i")
_KILLED = _NUMBER.pack(-signal.SIGKILL)
"""The answer that does not come when the process that forks has ended, and taken all it forked along."""
_BEYOND = 256
"""Descriptors from here on are in nobody's way while others are put in their places."""
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
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
        (self.pid,) = _NUMBER.unpack(self._server.recv(_NUMBER.size))

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
                    (self.returncode,) = _NUMBER.unpack(self._server.recv(_NUMBER.size) or _KILLED)
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
    return mock.patch.dict(vars(pool), _FOR_WORKERS)


_FOR_WORKERS = {"subprocess": SimpleNamespace(Popen=Fork, DEVNULL=subprocess.DEVNULL)}

_starting = threading.Lock()
_listens: list[str] = []
"""Where the process that forks listens, once there is one."""
_life: list[int] = []
"""The end of a pipe that tells it that this process lives."""


def _address() -> str:
    with _starting:
        if not _listens:
            _listens.append(_started())
    return _listens[0]


def _started() -> str:
    """Start the process that forks, and return where it listens."""
    address = f"\0metriq-gym-tests-{secrets.token_hex(8)}"
    ends, lives = os.pipe()
    _life.append(lives)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
        subprocess.Popen(
            [sys.executable, "-m", "tests.support.forks", str(listener.fileno()), str(ends)],
            env=os.environ | _ONE_THREAD,
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            pass_fds=[listener.fileno(), ends],
            start_new_session=True,
        )
    os.close(ends)
    return address


def serve(listener: socket.socket, life: int) -> dict[str, Any]:
    """Fork what is ordered; return only there, with the order."""
    _import()
    ends: dict[int, tuple[int, socket.socket]] = {}
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        selector.register(life, selectors.EVENT_READ)
        while True:
            ready = [key.fd for key, _ in selector.select()]
            if life in ready:
                sys.exit()
            for fd in ready:
                if fd in ends:
                    selector.unregister(fd)
                    _answer(fd, *ends.pop(fd))
            if listener.fileno() in ready:
                connection, _ = listener.accept()
                message, descriptors, *_ = socket.recv_fds(connection, _ORDER_BYTES, 64)
                number = os.fork()
                if number == 0:
                    for fd, (_, other) in ends.items():
                        os.close(fd)
                        other.close()
                    break
                for each in descriptors:
                    os.close(each)
                fd = os.pidfd_open(number)
                selector.register(fd, selectors.EVENT_READ)
                ends[fd] = number, connection
    _listens.append(listener.getsockname().decode())
    listener.close()
    os.close(life)
    order: dict[str, Any] = json.loads(message)
    die_with_parent()
    if order["session"]:
        os.setsid()
    with connection:
        connection.send(_NUMBER.pack(os.getpid()))
    _become(order, descriptors)
    return order


def _import() -> None:
    for name in PRELOAD:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()
    assert len(os.listdir("/proc/self/task")) == 1, "with other threads it is not safe to fork"


def _answer(fd: int, number: int, connection: socket.socket) -> None:
    _, status = os.waitpid(number, 0)
    os.close(fd)
    with connection, suppress(OSError):  # nobody asks any more
        connection.send(_NUMBER.pack(os.waitstatus_to_exitcode(status)))


def _become(order: Mapping[str, Any], descriptors: Sequence[int]) -> None:
    """Take on all that a program that is started has of its own."""
    with ExitStack() as stack:
        for given, wanted in zip(descriptors, order["descriptors"], strict=True):
            beyond = fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, _BEYOND)
            os.close(given)
            stack.callback(os.close, beyond)
            stack.callback(os.dup2, beyond, wanted)
    for each in (sys.stdout, sys.stderr):
        each.reconfigure(line_buffering=each is sys.stderr or each.isatty())  # type: ignore[union-attr]
    os.environ.clear()
    os.environ.update(order["variables"])
    time.tzset()
    os.chdir(order["folder"])
    sys.path[0] = order["folder"]
    vars(pool).update(_FOR_WORKERS)


def main() -> None:
    """Serve, and run what is ordered as the interpreter would, with its way of ending."""
    order = serve(socket.socket(fileno=int(sys.argv[1])), int(sys.argv[2]))
    match order["arguments"]:
        case ["-m", module, *arguments]:
            sys.argv = ["-m", *arguments]
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        case ["-c", code, *arguments]:
            sys.argv = ["-c", *arguments]
            exec(compile(code, "<string>", "exec"), {"__name__": "__main__"})


if __name__ == "__main__":
    # As a module of one name only: what is forked may import it.
    from tests.support import forks

    forks.main()
