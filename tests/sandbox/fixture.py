"""The pytest fixture `tyxonq_sandbox` and the handle it gives: a sandbox over real HTTP, and how to steer it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

import pytest

from tests.support.patience import PATIENCE


@dataclass(frozen=True, slots=True)
class SandboxControl:
    """Steers a running sandbox, here or in another process, by its base URL and token."""

    url: str
    """What a client takes for TyxonQ's base URL."""
    token: str

    def set(self, **switches: Any) -> dict[str, Any]:
        """Change switches (see Switches); gives all of them."""
        return self._call("POST", "switches", switches)

    def add_fault(self, kind: str, *endpoints: str, **options: Any) -> None:
        """Add a rule (see Fault) for the named endpoints, or for all without a name."""
        fault = {"kind": kind, **options, **({"endpoints": list(endpoints)} if endpoints else {})}
        self._call("POST", "faults", {"faults": [fault]})

    def faults(self) -> list[dict[str, Any]]:
        """The rules with their ``calls`` and ``hits``."""
        return list(self._call("GET", "faults")["faults"])

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def freeze(self, frozen: bool = True) -> None:
        """Let time move only by `advance`."""
        self._call("POST", "clock", {"frozen": frozen})

    def advance(self, seconds: float) -> float:
        """Move time forward; gives the sandbox's time in seconds since the epoch."""
        return float(self._call("POST", "clock", {"advance": seconds})["now"])

    def now(self) -> float:
        return float(self._call("GET", "clock")["now"])

    def submissions(self) -> dict[str, Any]:
        """``total``, and the ids of accepted tasks ``by_remarks`` and ``by_source`` (MD5 of the text)."""
        return self._call("GET", "submissions")

    def calls(self) -> dict[str, int]:
        """How many requests each endpoint has had, faulty ones included."""
        return dict(self._call("GET", "calls")["calls"])

    def add_tasks(self, count: int, **request: Any) -> list[str]:
        """Accept `count` tasks from one submit_task body; gives their ids."""
        return list(self._call("POST", "tasks", {"count": count, **request})["ids"])

    def _call(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        parts = urlsplit(self.url)
        request = Request(
            f"{parts.scheme}://{parts.netloc}/_sandbox/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urlopen(request, timeout=PATIENCE) as response:
                answer: dict[str, Any] = json.load(response)
                return answer
        except HTTPError as error:
            with error:
                raise ValueError(json.load(error)["error"]) from error


@pytest.fixture
def tyxonq_sandbox() -> Iterator[SandboxControl]:
    """A fresh TyxonQ sandbox over real HTTP, served from a thread of this process."""
    from tests.sandbox.app import TOKEN, Sandbox
    from tests.sandbox.server import serving

    with serving(Sandbox()) as url:
        yield SandboxControl(url, TOKEN)
