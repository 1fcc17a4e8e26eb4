"""W3C trace context: one trace id from the request to the export, whatever the sender put there."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym.telemetry import traceparent

GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_trace_is_continued_with_a_span_of_its_own() -> None:
    with traceparent.continued(GIVEN):
        first, second = traceparent.current(), traceparent.current()

    assert first.split("-")[1] == second.split("-")[1] == GIVEN.split("-")[1]
    assert len({first.split("-")[2], second.split("-")[2], GIVEN.split("-")[2]}) == 3


def test_outside_every_value_starts_a_trace() -> None:
    assert traceparent.current().split("-")[1] != traceparent.current().split("-")[1]


def test_inner_trace_ends_where_it_ends() -> None:
    with traceparent.continued(GIVEN):
        with traceparent.continued(None):
            assert traceparent.current().split("-")[1] != GIVEN.split("-")[1]
        assert traceparent.current().split("-")[1] == GIVEN.split("-")[1]


@pytest.mark.parametrize("invalid", [f"00-{'0' * 32}-b7ad6b7169203331-01", f"00-{'a' * 32}-{'0' * 16}-01"])
def test_all_zero_ids_are_invalid(invalid: str) -> None:
    with traceparent.continued(invalid):
        assert traceparent.current().split("-")[1] not in invalid


@given(st.text() | st.binary() | st.integers() | st.none() | st.lists(st.text()))
def test_junk_starts_one_new_trace(junk: object) -> None:
    with traceparent.continued(junk):
        first, second = traceparent.current(), traceparent.current()

    assert first.split("-")[1] == second.split("-")[1]
    assert first.split("-")[1] != 32 * "0"
