"""The HTTP API: `/api/v1`."""

from fastapi import APIRouter

from . import catalogue, dead_letters, jobs, live, results, suites

router = APIRouter()
for each in (jobs, suites, catalogue, results, dead_letters, live):
    router.include_router(each.router)
