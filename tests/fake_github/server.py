"""Serves the stand-in for GitHub on a free port of this machine, from a thread."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import uvicorn

from tests.fake_github.app import FakeGitHubApp
from tests.fake_github.state import Fault, PullRequest, Repository, State
from tests.sandbox.server import DroppingProtocol

REPO = "metriq/data"
MAINTAINER, OUTSIDER = "maintainer", "outsider"
TOKENS = {"ghp_secret-of-the-maintainer": MAINTAINER, "ghp_secret-of-an-outsider": OUTSIDER}


def fresh_state() -> State:
    """The users, and the repository that the maintainer may write to and the outsider not."""
    state = State(tokens=dict(TOKENS))
    state.add(REPO, writers={MAINTAINER})
    return state


def configuration(app: FakeGitHubApp, **settings: Any) -> uvicorn.Config:
    """How uvicorn serves it: no access log, since nothing may log a token."""
    return uvicorn.Config(
        app,
        http=DroppingProtocol,
        ws="none",
        lifespan="off",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=1,
        **settings,
    )


@dataclass
class FakeGitHub:
    """A running server and what it remembers: `metriq/data`, which the maintainer may write to and the outsider not."""

    url: str
    app: FakeGitHubApp

    def reset(self) -> None:
        """Forget everything."""
        self.app.state = fresh_state()

    @property
    def state(self) -> State:
        return self.app.state

    @property
    def repo(self) -> Repository:
        return self.state.repositories[REPO]

    @property
    def pulls(self) -> list[PullRequest]:
        return self.state.pulls[REPO]

    def token(self, login: str) -> str:
        """The user's token."""
        return next(token for token, user in TOKENS.items() if user == login)

    def fail(self, method: str, path: str, status: int | None = None, message: str = "", **fields: object) -> None:
        """Let the next matching request fail; see `Fault`."""
        self.state.faults.append(Fault(method, path, status, message, **fields))  # type: ignore[arg-type]

    def file(self, pull: PullRequest) -> tuple[str, bytes]:
        """The one file that a pull request adds."""
        before = self.repo.files(pull.base)
        after = self.state.repositories[pull.head_repo].files(pull.head_branch)
        (added,) = set(after) - set(before)
        return added, after[added]


@contextmanager
def serving() -> Iterator[FakeGitHub]:
    """Serve a fresh one while inside."""
    app = FakeGitHubApp(State())
    with socket.socket(proto=socket.IPPROTO_TCP) as listener:
        listener.bind(("127.0.0.1", 0))
        server = uvicorn.Server(configuration(app))
        thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])), daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.002)
        try:
            fake = FakeGitHub(f"http://127.0.0.1:{listener.getsockname()[1]}", app)
            fake.reset()
            yield fake
        finally:
            server.should_exit = True
            thread.join()
