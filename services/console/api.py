"""The HTTP API: `/api/v1`."""

from fastapi import APIRouter

from . import catalogue, dead_letters, jobs, live, results, schedules, suites

router = APIRouter()
for each in (jobs, suites, schedules, catalogue, results, dead_letters, live):
    router.include_router(each.router)
