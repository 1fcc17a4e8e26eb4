"""What a service waits for while indexes are built is named."""

from __future__ import annotations

from typing import Any

import pytest
from pymongo import IndexModel
from pymongo.errors import NetworkTimeout

from metriq_gym.errors import Unavailable
from metriq_gym.store.indexes import ensure


class Slow:
    """A collection whose indexes take longer to build than a call may."""

    name = "jobs"

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    async def create_indexes(self, _: object, **options: Any) -> None:
        self.asked = options
        raise NetworkTimeout("timed out")


async def test_a_build_that_takes_long_says_which_indexes_and_needs_no_member_that_is_away() -> None:
    collection = Slow()
    with pytest.raises(Unavailable, match=r"indexes of jobs are still being built.*majority.*held_1"):
        await ensure(collection, [IndexModel([("held", 1)])])
    assert collection.asked == {"commitQuorum": "majority"}
