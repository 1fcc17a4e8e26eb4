"""The table of users in docs/security.md says what access/rights.py does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from metriq_gym.bus.port import EVENTS
from metriq_gym.messages import MESSAGES
from metriq_gym.operations.access import ALL, SERVICES, Rights

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
