"""Errors as RFC 9457 problem documents; those of a configuration name the JSON path of everything that is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response
from starlette.routing import Match

from metriq_gym.errors import (
    IllegalTransition,
    InvalidRequest,
    MetriqGymError,
    NotFound,
    Permanent,
    Problem,
    Transient,
    Undecided,
)
from metriq_gym.operations.resolve import NotHeld
from metriq_gym.wording import shorten

log = structlog.get_logger()

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_SECONDS = 2
_SAID = 1000
"""Characters that are repeated of what a request got wrong."""

_STATUS: tuple[tuple[type[MetriqGymError], HTTPStatus], ...] = (
    (InvalidRequest, HTTPStatus.UNPROCESSABLE_ENTITY),
    (NotFound, HTTPStatus.NOT_FOUND),
    (IllegalTransition, HTTPStatus.CONFLICT),
    (NotHeld, HTTPStatus.CONFLICT),
    (Undecided, HTTPStatus.CONFLICT),
    (Permanent, HTTPStatus.CONFLICT),
    (Transient, HTTPStatus.SERVICE_UNAVAILABLE),
)


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 has it."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What was wrong, for a person.")
    errors: list[Problem] = Field(default=[], description="Everything that is wrong with the request, if it is that.")


def _whole(model: type[BaseModel]) -> dict[str, Any]:
    """Return a model's schema with what it refers to in its place: the document has it at several places."""
    schema = model.model_json_schema()
    others = schema.pop("$defs", {})

    def inside(part: Any) -> Any:
        if isinstance(part, dict):
            if "$ref" in part:
                return inside(others[part["$ref"].rpartition("/")[2]])
            return {key: inside(each) for key, each in part.items()}
        return [inside(each) for each in part] if isinstance(part, list) else part

    whole: dict[str, Any] = inside(schema)
    return whole


RESPONSES: dict[int | str, dict[str, Any]] = {
    status: {"description": description, "content": {MEDIA_TYPE: {"schema": _whole(ProblemDocument)}}}
    for status, description in (
        (400, "The request cannot be read."),
        (401, "A token is needed, or this one is none."),
        (403, "The token does not allow it, or the request comes from another site's page."),
        (404, "There is nothing of that name."),
        (409, "It cannot be done in the state that it is in."),
        (413, "The body is too large."),
        (422, "The request is wrong; `errors` says where."),
        (429, "Too many requests; `Retry-After` says when to go on."),
        (503, "The store or the queue is away; trying again helps."),
    )
}
"""For the OpenAPI document."""


def status_of(error: MetriqGymError) -> HTTPStatus:
    """Return the HTTP status that stands for an error."""
    return next((status for kind, status in _STATUS if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)


def mistakes(problems: Iterable[Problem]) -> list[Problem]:
    """Return what is wrong, each no longer than a person would read."""
    return [Problem(path=shorten(each.path), message=shorten(each.message, 500)) for each in problems]


def document(status: int, detail: str, errors: Iterable[Problem] = ()) -> ProblemDocument:
    """Return a problem document."""
    title = HTTPStatus(status).phrase
    return ProblemDocument(title=title, status=status, detail=shorten(detail, _SAID), errors=list(errors))


def describe(error: Exception) -> ProblemDocument:
    """Return the document for whatever handling a request raised."""
    match error:
        case InvalidRequest():
            return document(422, "the request is wrong", mistakes(error.problems))
        case MetriqGymError():
            return document(status_of(error), str(error))
        case RequestValidationError():
            return document(422, "the request is wrong", _of_validation(error))
        case HTTPException():
            return document(error.status_code, str(error.detail))
    return document(500, "a defect of ours; the console's log says more")


def response(error: Exception) -> Response:
    """Return the answer for whatever handling a request raised."""
    found = describe(error)
    headers = dict(getattr(error, "headers", None) or {})
    if found.status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_SECONDS)
    return JSONResponse(found.model_dump(), found.status, headers, MEDIA_TYPE)


def _of_validation(error: RequestValidationError) -> list[Problem]:
    found = []
    for each in error.errors():
        where, *steps = each["loc"]
        root = "$" if where == "body" else f"{where}"
        path = root + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps)
        found.append(Problem(path=shorten(path), message=shorten(str(each["msg"]), 500)))
    return found


def install(app: FastAPI, page: Callable[[Request, Exception], Response]) -> None:
    """Answer every error with its document; to a browser, with the `page` that says the same."""

    async def answer(request: Request, error: Exception) -> Response:
        if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            allowed = ", ".join(_methods(request))
            if request.method == "OPTIONS":
                return Response(status_code=204, headers={"Allow": allowed})
            error = HTTPException(405, f"{request.method} is none of {allowed}", {"Allow": allowed})
        return response(error) if _wants_json(request) else page(request, error)

    async def defect(request: Request, error: Exception) -> Response:
        log.error("request failed", path=request.url.path, exc_info=error)
        return response(error) if _wants_json(request) else page(request, error)

    for kind in (MetriqGymError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)
    app.add_exception_handler(Exception, defect)


def _methods(request: Request) -> list[str]:
    """Return the methods that what a request is about has: several routes may share its path."""
    found = {
        method
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE")
        if any(route.matches({**request.scope, "method": method})[0] is Match.FULL for route in request.app.routes)
    }
    return sorted(found | {"HEAD", "OPTIONS"} if "GET" in found else found | {"OPTIONS"})


def _wants_json(request: Request) -> bool:
    return request.url.path.startswith("/api/") or "text/html" not in request.headers.get("accept", "")
