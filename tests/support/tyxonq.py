"""A TyxonQ service of canned answers, and a client that talks to it without a network."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from pydantic import SecretStr

from metriq_gym.providers.tyxonq.client import TyxonQClient

TOKEN = "s3cret/Token+0123456789"
URL = "https://tyxonq.test/qau-cloud/tyxonq/"
NOW = datetime(2026, 11, 20, 12, 0, 0, tzinfo=UTC)

HOMEBREW = {
    "id": "homebrew_s2",
    "qubits": 13,
    "T1": 84.44615173339844,
    "T2": 45.41538619995117,
    "Err": {
        "SQ": 0.0007843076923076923,
        "CZ": 0.009009666666666666,
        "Readout": {"F0": 0.016538461538461537, "F1": 0.04118461538461538},
    },
    "state": "running",
}
"""The vendor page's device."""

Answer = httpx.Response | Exception
Handler = Callable[[httpx.Request], Answer]


class Service:
    """Gives one answer after the other, the last one for ever, and remembers the requests and the pauses between."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = list(answers)
        self.requests: list[httpx.Request] = []
        self.pauses: list[float] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests]

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)

    def client(self, **options: Any) -> TyxonQClient:
        transport = httpx.MockTransport(self)
        return TyxonQClient(SecretStr(TOKEN), URL, transport=transport, sleep=self._sleep, now=lambda: NOW, **options)


def ok(document: object) -> httpx.Response:
    return httpx.Response(200, json=document)
