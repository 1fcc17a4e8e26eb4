"""A token that is not accepted is left alone for growing pauses, and replaced when its file changes."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import SecretStr

from metriq_gym.errors import Permanent
from metriq_gym.providers.tyxonq.credential import LONGEST_PAUSE, Credential
from metriq_gym.providers.tyxonq.errors import AuthenticationFailed

OLD, NEW = SecretStr("the-old-token"), SecretStr("the-new-token")


class Clock:
    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_one_request_at_a_time_finds_out_after_growing_pauses() -> None:
    clock = Clock()
    credential = Credential(OLD, now=clock)
    credential.refused(credential.admit(), "HTTP 401")
    for pause in (1, 2, 4, 8, 16, 32, 64, 128, 256, LONGEST_PAUSE, LONGEST_PAUSE):
        clock.seconds += pause - 0.01
        with pytest.raises(AuthenticationFailed, match="HTTP 401"):
            credential.admit()
        clock.seconds += 0.02
        token = credential.admit()
        with pytest.raises(AuthenticationFailed):
            credential.admit()  # while the first is under way
        credential.refused(token, "HTTP 401")


def test_an_accepted_request_releases_everything_at_once() -> None:
    clock = Clock()
    credential = Credential(OLD, now=clock)
    for _ in range(5):
        credential.refused(OLD, "HTTP 403")
    assert credential.trouble is not None
    assert credential.trouble.reason == "HTTP 403"
    clock.seconds += 16
    credential.accepted(credential.admit())
    assert credential.trouble is None
    for _ in range(3):
        credential.admit()
    credential.refused(OLD, "HTTP 401")
    clock.seconds += 1
    credential.admit()  # pauses are short again


def test_a_new_token_in_the_file_is_used_at_once_without_a_restart(tmp_path: Path) -> None:
    clock, file = Clock(), tmp_path / "token"
    file.write_text("the-old-token\n")
    credential = Credential(OLD, file, clock)
    for _ in range(9):
        credential.refused(credential._token, "HTTP 401")
    clock.seconds += 1
    with pytest.raises(AuthenticationFailed):
        credential.admit()
    file.write_text("the-new-token\n")
    clock.seconds += 1
    assert credential.admit() == NEW
    assert credential.trouble is None
    credential.refused(OLD, "HTTP 401")  # of a request that was under way
    assert credential.trouble is None


@pytest.mark.parametrize("content", [b"", b"  \n", b"two words", b"\xff\xfe", None])
def test_a_file_without_a_token_leaves_the_token_as_it_is(tmp_path: Path, content: bytes | None) -> None:
    clock, file = Clock(), tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    credential = Credential(OLD, file, clock)
    assert credential.admit() == OLD
    file.write_text("the-new-token")
    assert credential.admit() == OLD  # it was looked at within this second
    clock.seconds += 1
    assert credential.admit() == NEW


def test_a_token_that_no_service_gives_out_is_refused_at_once() -> None:
    with pytest.raises(Permanent, match="METRIQ_TYXONQ_TOKEN"):
        Credential(SecretStr("two words"))
