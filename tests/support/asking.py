"""Asks all that an OpenAPI document allows, and what it does not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.core.result import Ok
from schemathesis.generation import GenerationMode
from schemathesis.schemas import APIOperation

EXAMPLES = 5
"""Of each operation and kind, the same ones every time."""


def ask_everything(document: dict[str, object], url: str, known: Sequence[str]) -> set[str]:
    """Ask every operation but the endless ones, also about the ids that are known; return which."""
    schema = schemathesis.openapi.from_dict(document).exclude(path_regex="/events$")
    asked = set()
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        for mode in GenerationMode:
            ask(operation, mode, url, known)
        asked.add(f"{operation.method.upper()} {operation.path}")
    return asked


def ask(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, url: str, known: Sequence[str]) -> None:
    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(mode), id_=st.sampled_from([*known, None]))
    def answered(case: Any, id_: str | None) -> None:
        for name in ("job_id", "suite_id"):
            if name in case.path_parameters and id_ is not None:
                case.path_parameters[name] = id_
        status = case.call(base_url=url).status_code
        assert status < 500, case.as_curl_command()

    answered()
