"""The HTTP API: `/api/v1`."""

from fastapi import APIRouter

from services.console.api import catalogue, events, jobs, letters, results, suites

router = APIRouter()
for each in (jobs, suites, catalogue, results, letters, events):
    router.include_router(each.router)
