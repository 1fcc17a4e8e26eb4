"""A server that was started for a process is gone when the last process that uses it is, by whatever signal."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.patience import PATIENCE, until

ROOT = Path(__file__).parents[2]
EMBEDDED = """
import asyncio, sys
from pathlib import Path
from metriq_gym.store.private_mongod import private_mongod

async def use():
    async with private_mongod(Path(sys.argv[1])):
        print("ready", flush=True)
        await asyncio.Event().wait()

asyncio.run(use())
"""
RUN = """
import threading
from pathlib import Path
from tests.servers.mongodb import shared_mongodb

def test_that_hangs():
    with shared_mongodb(Path(FOLDER)):
        Path(FOLDER, "ready").touch()
        threading.Event().wait()
"""
STOPPED = """
import signal, sys
from pathlib import Path
from tests.servers.mongodb import Member

member = Member(Path(sys.argv[1]) / "member")
member.command("ping")
member.send_signal(signal.SIGSTOP)
print("ready", flush=True)
sys.stdin.read()
"""
SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM, signal.SIGKILL)


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def begin() -> Iterator[Start]:
    """Starts a process that ends with the test, however that ends."""
    with ExitStack() as stack:

        def begin(*command: str, **options: Any) -> subprocess.Popen[str]:
            # Whoever runs the tests may ignore signals, as nohup does, and what is started would too.
            heeding = ["env", "--default-signal", sys.executable, *command]
            process = stack.enter_context(subprocess.Popen(heeding, cwd=ROOT, text=True, **options))
            stack.callback(process.kill)
            return process

        yield begin


@pytest.fixture
def start(begin: Start) -> Start:
    """Starts a process and returns it once it has said that its server is there."""

    def start(*command: str) -> subprocess.Popen[str]:
        process = begin(*command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert any("ready" in line for line in process.stdout)
        return process

    return start


def of(folder: Path) -> list[psutil.Process]:
    """The server with its files in a folder, and what watches over it."""
    found = []
    for process in psutil.process_iter():
        try:
            command = process.cmdline()
        except psutil.Error:
            continue
        server = any("mongod" in word for word in command) and any(str(folder) in word for word in command[1:])
        if server and not {"-c", "pytest"} & set(command):
            found.append(process)
    return found


def all_end(processes: list[psutil.Process]) -> bool:
    return not psutil.wait_procs(processes, timeout=PATIENCE)[1]


def test_an_embedded_server_listens_at_a_socket_of_its_own_and_nowhere_else(tmp_path: Path, start: Start) -> None:
    start("-c", EMBEDDED, str(tmp_path))
    (server,) = (process for process in of(tmp_path) if process.name() == "mongod")
    listens = {
        connection.laddr if connection.family is socket.AF_UNIX else connection.laddr.port
        for connection in server.net_connections("all")
        if connection.family is socket.AF_UNIX or connection.status == psutil.CONN_LISTEN
    }
    (path,) = filter(None, listens)
    assert path in server.cmdline()


@pytest.mark.parametrize("number", SIGNALS)
def test_an_embedded_server_ends_with_its_last_user(tmp_path: Path, start: Start, number: signal.Signals) -> None:
    first, second = (start("-c", EMBEDDED, str(tmp_path)) for _ in range(2))
    servers = of(tmp_path)
    assert len(servers) == 2
    first.send_signal(number)
    first.wait()
    assert all(process.is_running() for process in servers)
    second.send_signal(number)
    second.wait()
    assert all_end(servers)


@pytest.mark.parametrize("number", SIGNALS)
def test_an_embedded_server_ends_with_what_watches_over_it_or_both_with_their_user(
    tmp_path: Path, start: Start, number: signal.Signals
) -> None:
    user = start("-c", EMBEDDED, str(tmp_path))
    servers = of(tmp_path)
    (watcher,) = (process for process in servers if "python" in process.name())
    watcher.send_signal(number)
    user.kill()
    user.wait()
    assert all_end(servers)


@pytest.mark.parametrize("workers", [(), ("--numprocesses", "1")], ids=["alone", "workers"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_server_of_the_tests_ends_with_their_run(
    tmp_path: Path, begin: Start, number: signal.Signals, workers: tuple[str, ...]
) -> None:
    run, folder = tmp_path / "test_run.py", tmp_path / "mongod"
    run.write_text(RUN.replace("FOLDER", repr(str(folder))))
    command = [
        "-m",
        "pytest",
        "-p",
        "tests.conftest",
        *workers,
        "--rootdir",
        str(ROOT),
        "-c",
        "pyproject.toml",
        str(run),
    ]
    runner = begin(*command, stdout=subprocess.DEVNULL)
    until(lambda: runner.poll() is not None or (folder / "ready").exists())
    assert runner.poll() is None
    servers = of(folder)
    assert len(servers) == 2
    runner.send_signal(number)
    runner.wait()
    assert all_end(servers)


def test_a_server_of_the_tests_that_is_stopped_ends_with_their_run(tmp_path: Path, start: Start) -> None:
    run = start("-c", STOPPED, str(tmp_path))
    servers = of(tmp_path)
    assert len(servers) == 2
    run.terminate()
    run.wait()
    assert all_end(servers)
