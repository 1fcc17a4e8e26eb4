"""The application: the API, the page, and what every request passes before them."""

from __future__ import annotations

from fastapi import FastAPI, Security
from fastapi.security import HTTPBearer
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware

from metriq_gym import __version__

from . import pages, problems, rendering
from .api import router as api
from .desk import Desk
from .guard import Guard, Rates

DESCRIPTION = """Quantum benchmarks as an event-driven service, over HTTP.

Send a token as `Authorization: Bearer …`, unless the console listens on this machine alone and has none. Errors are
problem documents (RFC 9457); a rejected configuration's name the JSON path of everything that is wrong."""
API = "/api/v1"


def create_app(desk: Desk) -> FastAPI:
    """Return the application that serves from a desk."""
    settings = desk.settings
    app = FastAPI(
        title="Metriq-Gym Services",
        version=__version__,
        description=DESCRIPTION,
        openapi_url="/api/openapi.json",
        docs_url=None,
        redoc_url=None,
        license_info={"name": "Apache-2.0"},
        middleware=[
            Middleware(
                Guard,
                access=desk.access,
                max_body_bytes=settings.max_message_bytes,
                rates=Rates(settings.console_requests_per_second),
            ),
            Middleware(GZipMiddleware, minimum_size=1000),
        ],
    )
    app.state.desk = desk
    problems.install(app, pages.error_page)
    app.include_router(api, prefix=API, dependencies=[Security(HTTPBearer(auto_error=False))])  # for the document
    app.include_router(rendering.router)
    app.include_router(pages.router)
    pages.install(app)
    return app
