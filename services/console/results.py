"""Results as tidy rows: one row a metric, as JSON, CSV or Parquet, streamed."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from metriq_gym.jobs.rows import rows
from metriq_gym.jobs.tables import ENCODERS

from .access import Viewer
from .desk import Desk, desk
from .parameters import Which
from .problems import RESPONSES

router = APIRouter(prefix="/results", tags=["results"], responses=RESPONSES)

_MEDIA_TYPES = {
    "json": "application/json",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}


@router.get(
    "",
    response_class=StreamingResponse,
    responses={200: {"content": {kind: {} for kind in _MEDIA_TYPES.values()}, "description": "The rows."}},
)
async def list_results(
    which: Which,
    at: Annotated[Desk, Depends(desk)],
    _: Viewer,
    format: Annotated[Literal["json", "csv", "parquet"], Query()] = "json",  # noqa: A002  (what the query calls it)
    metric: Annotated[str | None, Query(max_length=200, description="Only this one.")] = None,
) -> StreamingResponse:
    """Return results, the oldest first: one row a metric."""
    encoded = ENCODERS[format](rows(at.store.catalogue.scored(which), metric))
    headers = {} if format == "json" else {"Content-Disposition": f'attachment; filename="results.{format}"'}
    return StreamingResponse(encoded, media_type=_MEDIA_TYPES[format], headers=headers)
