"""How the sandbox behaves where the vendor's page leaves a choice: standing switches, one value per run."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Switches:
    """The defaults are what the vendor's page shows, what its own SDK counts on beyond that, and the friendlier choice
    where neither shows anything."""

    scheduled_seconds: float = 0.005
    """From acceptance until the task is pending."""
    pending_seconds: float = 1.0
    running_seconds: float = 2.5
    spread: float = 0.0
    """Each task's three durations are multiplied by a factor drawn evenly from 1 - spread to 1 + spread."""

    results: Literal["noisy", "cached", "ideal"] = "noisy"
    """Counts drawn with the device's noise for each task; once per distinct circuit and shots; or without noise."""
    drawn_from: Literal["task", "remarks"] = "task"
    """Noisy counts follow from the sandbox's seed and the number of the task, or its remarks: in whatever order tasks
    are accepted, the same remarks then have the same counts."""
    counts_order: Literal["first_left", "first_right"] = "first_left"
    """Where in a key of the counts the first measured qubit stands."""
    result_shape: Literal["flat", "counts", "null"] = "flat"
    """``result`` is the counts, an object with the counts under ``counts``, or null."""

    shots_left_out: int = 0
    """So many shots of each circuit are missing from its counts."""

    accept_missing_creg: bool = True
    accept_unlisted_gates: bool = True
    """Run sdg, tdg and rx, which have been seen to pass though the page does not list them."""
    circuit_checked: Literal["late", "submit"] = "late"
    """A wrong circuit is a failed task with ``err``, or is refused when it is submitted."""

    error_shape: Literal["documented", "error", "detail", "detail_list", "err"] = "documented"
    """The body of every refusal; documented: `error` with HTTP 200 for submit_task, else `detail`."""
    error_status: int | None = None
    """HTTP status of every refusal except 401."""
    success_field: Literal["documented", "always", "never"] = "always"
    """Whether good answers carry ``success``; documented: submit_task and detail do, the two lists do not."""
    status_word: str = "submitted"
    """``status`` in the answer to submit_task."""
    extra_fields: bool = True
    """Every object of an answer has one more field, ``memo``."""
    device_state: str = "running"
    clock_skew_seconds: float = 0.0
    """`runAt` lies so much and `atChip` three times so much too early, and `pending` before `scheduled`."""

    echo_remarks: Literal["no", "parameters", "field"] = "no"
    """Rows of the list hold the remarks nowhere, in the JSON text of ``parameters``, or in a field ``remarks``."""
    device_filter: Literal["base", "exact"] = "base"
    """The list's filter ignores the flags of stored device strings, or compares the whole strings."""
    list_limit: int | None = None
    """The list holds only so many of the newest tasks."""
    list_paged: bool = False
    """With `list_limit`: the request's ``page`` (from 1) chooses the page, the answer has page, page_size, total."""
    list_times: Literal["iso", "naive", "empty"] = "iso"
    """Times in rows of the list have a zone, have none, or are empty as on the page."""
    stranger_rows: bool = False
    """The list of tasks holds rows of a stranger on the same token that make no sense."""
    stranger_devices: bool = False
    """The list of devices holds some that make no sense."""
    per_second: float | None = None
    """Each endpoint answers so many requests a second; 429 to the others."""
    retry_after: str | None = None
    """Of these answers."""
    valid_token: str | None = None
    """Only this token is accepted, for the account of the first one; as when a token has expired and a new one is
    made."""
    list_delay_seconds: float = 0.0
    """A task appears in the list only so long after it was accepted."""
