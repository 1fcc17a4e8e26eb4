"""A suite's request → the requests of its jobs, the same ones however often it is delivered."""

from __future__ import annotations

import re

import structlog
from pydantic import ValidationError

from metriq_gym.bus.identity import Request
from metriq_gym.errors import InvalidRequest, Problem
from metriq_gym.messages import JobRequested, SuiteRequested
from metriq_gym.suite_parser import parse_suite, select
from metriq_gym.wording import first, from_pydantic

from .request import read_object

log = structlog.get_logger()

_MAX_ID = 128


def fan_out(request: Request, max_bytes: int) -> list[JobRequested]:
    """Return one request per selected benchmark of the suite that is requested.

    Raises `InvalidRequest` with everything that is wrong with the request, the suite or any of its configurations.
    """
    suite_id, body = request.job_id, read_object(request, max_bytes)
    message, problems = None, list[Problem]()
    try:
        message = SuiteRequested.model_validate(body)
    except ValidationError as error:
        problems = from_pydantic(error)
    try:
        if "suite" in body:
            suite, warnings = parse_suite(body["suite"], "$.suite")
    except InvalidRequest as error:
        problems = [each for each in problems if each.path != "$.suite"] + list(error.problems)
    if message is None or problems:
        raise InvalidRequest(first(problems))
    for warning in warnings:
        log.warning("suite", suite_id=suite_id, path=warning.path, problem=warning.message)
    chosen = select(suite, message.components, message.all)
    positions = {each.name: position for position, each in enumerate(suite.benchmarks, start=1)}
    return [
        JobRequested(
            job_id=job_id(suite_id, positions[each.name], each.name),
            suite_id=suite_id,
            suite_name=suite.name,
            suite_size=len(chosen),
            provider=message.provider,
            device=message.device,
            prior=message.prior,
            remarks=message.remarks,
            group=message.group,
            force=message.force,
            tags=message.tags,
            compilation=message.compilation,
            config=each.config,
        )
        for each in chosen
    ]


def job_id(suite_id: str, position: int, name: str) -> str:
    """Return the id of a suite's job: unique by its position in the suite's document, readable by its name."""
    readable = re.sub(r"[^A-Za-z0-9_-]+", "-", name)
    return f"{suite_id}.{position:03}-{readable}"[:_MAX_ID]
