"""Steers a running sandbox over HTTP, outside the documented base path and without a token."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.sandbox.faults import Fault
from tests.sandbox.records import as_json, updated
from tests.sandbox.refusals import Refused

if TYPE_CHECKING:
    from tests.sandbox.app import Sandbox

Handler = Callable[[Any], Any]


def control_routes(sandbox: Sandbox) -> list[Route]:
    """The routes below ``/_sandbox``; README.md describes them."""

    def health(_: Any) -> Any:
        return {"ready": True}

    def switches(changes: Any) -> Any:
        if changes is not None:
            sandbox.switches = updated(sandbox.switches, changes)
        return as_json(sandbox.switches)

    def faults(added: Any) -> Any:
        if added is not None:
            sandbox.faults.add(*[updated(Fault(), each) for each in added["faults"]])
        return {"faults": list(sandbox.faults)}

    def no_faults(_: Any) -> Any:
        sandbox.faults.clear()
        return {"faults": []}

    def clock(changes: Any) -> Any:
        changes = changes or {}
        if "frozen" in changes:
            sandbox.clock.frozen = bool(changes["frozen"])
        sandbox.clock.advance(float(changes.get("advance", 0)))
        return {"now": sandbox.clock.now(), "frozen": sandbox.clock.frozen}

    def tasks(wanted: Any) -> Any:
        count = wanted.pop("count", 1)
        ids = [sandbox.submit(wanted, sandbox.tokens[0]).id for _ in range(count)]
        return {"ids": ids}

    def submissions(_: Any) -> Any:
        by_remarks: defaultdict[str, list[str]] = defaultdict(list)
        by_source: defaultdict[str, list[str]] = defaultdict(list)
        for task in sandbox.tasks:
            by_source[task.md5].append(task.id)
            if task.remarks is not None:
                by_remarks[task.remarks].append(task.id)
        return {"total": len(sandbox.tasks), "by_remarks": by_remarks, "by_source": by_source}

    def calls(_: Any) -> Any:
        return {"calls": dict(sandbox.calls)}

    def redirected(_: Any) -> Any:
        sandbox.calls["redirected"] += 1
        return {"success": True}

    return [
        Route("/health", _json(health), methods=["GET"]),
        Route("/switches", _json(switches), methods=["GET", "POST"]),
        Route("/faults", _json(faults), methods=["GET", "POST"]),
        Route("/faults", _json(no_faults), methods=["DELETE"]),
        Route("/clock", _json(clock), methods=["GET", "POST"]),
        Route("/tasks", _json(tasks), methods=["POST"]),
        Route("/submissions", _json(submissions), methods=["GET"]),
        Route("/calls", _json(calls), methods=["GET"]),
        Route("/redirected", _json(redirected), methods=["GET", "POST"]),
    ]


def _json(handle: Handler) -> Callable[[Request], Awaitable[Response]]:
    """Give `handle` the JSON of a POST, else None, and answer what it returns."""

    async def endpoint(request: Request) -> Response:
        try:
            body = await request.json() if request.method == "POST" else None
            return JSONResponse(handle(body))
        except (Refused, ValueError, KeyError, TypeError) as error:
            return JSONResponse({"error": f"{type(error).__name__}: {error}"}, 400)

    return endpoint
