"""Templates, what they can say of times and numbers, and the files they refer to."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, Undefined, select_autoescape

from metriq_gym.errors import NotFound
from metriq_gym.terminal.report import age, number, score, told_of
from metriq_gym.wording import duration

from .access import COOKIE, Role

HERE = Path(__file__).parent
_KEPT = "public, max-age=31536000, immutable"
NAVIGATION = (
    ("/", "Overview", Role.VIEWER),
    ("/jobs", "Jobs", Role.VIEWER),
    ("/submit", "Submit", Role.SUBMITTER),
    ("/suites", "Suites", Role.VIEWER),
    ("/schedules", "Schedules", Role.VIEWER),
    ("/devices", "Devices", Role.VIEWER),
    ("/trends", "Trends", Role.VIEWER),
    ("/dead-letters", "Dead letters", Role.OPERATOR),
    ("/settings", "Settings", Role.VIEWER),
    ("/api/docs", "API", Role.VIEWER),
)
_SWAGGER = "static/drf_spectacular_sidecar/swagger-ui-dist"
_OF_PACKAGES = {
    "htmx.js": ("django_htmx", "static/django_htmx/htmx-2.min.js"),
    "htmx-sse.js": ("django_htmx", "static/django_htmx/ext/hx-sse-2.min.js"),
    "plotly.js": ("plotly", "package_data/plotly.min.js"),
    "swagger-ui.js": ("drf_spectacular_sidecar", f"{_SWAGGER}/swagger-ui-bundle.js"),
    "swagger-ui.css": ("drf_spectacular_sidecar", f"{_SWAGGER}/swagger-ui.css"),
}
"""Scripts and style sheets that come out of packages, which are found without being imported."""
_MEDIA_TYPES = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}

router = APIRouter(include_in_schema=False)


@router.get("/static/{digest}/{name}")
async def static(digest: str, name: str) -> Response:
    """Return a file of the page's; its address changes with what is in it."""
    body, known = _file(name)
    headers = {"Cache-Control": _KEPT if digest == known else "no-store"}
    return Response(body, media_type=_MEDIA_TYPES[Path(name).suffix], headers=headers)


def asset(name: str) -> str:
    """Return the address of a file of the page's."""
    return f"/static/{_file(name)[1]}/{name}"


@cache
def _file(name: str) -> tuple[bytes, str]:
    files = {path.name: path for path in (HERE / "static").iterdir()} | {
        own: _in_package(*place) for own, place in _OF_PACKAGES.items()
    }
    if name not in files:
        raise NotFound(f"there is no file {name}")
    body = files[name].read_bytes()
    return body, hashlib.sha256(body).hexdigest()[:12]


def _in_package(package: str, path: str) -> Path:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise NotFound(f"the package {package} is not installed: pip install 'metriq-gym-services[console]'")
    return Path(spec.submodule_search_locations[0]) / path


def render(request: Request, template: str, role: Role | None, status: int = 200, **context: Any) -> HTMLResponse:
    """Return a page or a part of one."""
    path = request.url.path
    here = path if path == "/api/docs" else "/" + path.strip("/").partition("/")[0]
    shared = {
        "role": role or Role.VIEWER,
        "here": here,
        "navigation": [(path, name) for path, name, least in NAVIGATION if role and role >= least],
        "logged_in": COOKIE in request.cookies,
        "asset": asset,
    }
    return HTMLResponse(_environment().get_template(template).render(shared | context), status)


def warm() -> None:
    """Read files and compile templates, so that the first visitor does not wait for that."""
    for name in _OF_PACKAGES:
        asset(name)
    for name in _environment().list_templates():
        _environment().get_template(name)


@cache
def _environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=select_autoescape(default=True),
        undefined=Undefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    filters: dict[str, Callable[..., Any]] = {
        "age": age,
        "clock": lambda at: at.astimezone(UTC).strftime("%H:%M:%S"),
        "moment": lambda at: at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC"),
        "number": number,
        "pretty": lambda value: json.dumps(value, indent=2, ensure_ascii=False),
        "quoted": lambda text: quote(str(text), safe=""),
        "score": score,
        "span": span,
        "told": told_of,
    }
    made.filters |= filters
    return made


def span(seconds: float) -> str:
    """Return a time span in words, short ones in milliseconds."""
    return f"{1000 * seconds:.0f} ms" if seconds < 1 else f"{seconds:.1f} s" if seconds < 60 else duration(seconds)
