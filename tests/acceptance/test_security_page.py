"""The table of users in docs/security.md says what access/rights.py does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metriq_gym.bus.port import EVENTS
from metriq_gym.messages import (
    MESSAGES,
    EstimateRequested,
    JobCancelRequested,
    JobRequested,
    JobResumeRequested,
    ScheduleChangeRequested,
    ScheduleRequested,
    SuiteRequested,
)
from metriq_gym.operations.access import ALL, PUBLISHER, SERVICES, Rights

ROOT = Path(__file__).parents[2]
COLLECTIONS = {name for rights in SERVICES for name in rights.collections}
PAGE = (ROOT / "docs" / "security.md").read_text(encoding="utf-8")


def test_every_user_has_a_row() -> None:
    rows = re.findall(r"^\| (\w+)", PAGE[PAGE.index("| user |") :], re.MULTILINE)
    assert rows[1:] == [rights.user for rights in ALL]


@pytest.mark.parametrize("rights", SERVICES, ids=lambda rights: rights.user)
def test_a_row_names_what_a_service_publishes_and_writes(rights: Rights) -> None:
    (row,) = re.findall(rf"^\| {rights.user} \|(.*)\|(.*)\|(.*)\|$", PAGE, re.MULTILINE)
    published = {f"job{name}" if name.startswith(".") else name for name in re.findall(r"`([\w.]+)`", row[0])}
    (events,) = [each.write for each in rights.topics if each.exchange == EVENTS]
    assert published == {message.routing_key for message in MESSAGES if re.fullmatch(events, message.routing_key)}
    written = {name for name, actions in rights.collections.items() if {"insert", "update", "remove"} & set(actions)}
    assert written == {name for name in re.findall(r"\w+", row[2].replace("reads tasks", "")) if name in COLLECTIONS}


def test_each_line_of_what_a_hostile_publisher_can_and_cannot_do_names_its_test() -> None:
    section = PAGE[PAGE.index("## A hostile publisher") : PAGE.index("### Quotas")]
    lines = section.split("\n- ")[1:]
    assert len(lines) > 15
    assert [line for line in lines if "`test_" not in line] == []


def test_each_request_that_a_publisher_may_send_has_been_thought_of() -> None:
    """One more is to be looked at: what could it do to others? Then this list, and security.md's, gets longer."""
    (events,) = [each.write for each in PUBLISHER.topics if each.exchange == EVENTS]
    assert {message for message in MESSAGES if re.fullmatch(events, message.routing_key)} == {
        JobRequested,
        JobCancelRequested,
        JobResumeRequested,
        SuiteRequested,
        EstimateRequested,
        ScheduleRequested,
        ScheduleChangeRequested,
    }
    assert "publish the seven requests" in PAGE
