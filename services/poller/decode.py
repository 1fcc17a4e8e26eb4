"""The counts of many tasks, put in Qiskit's order and packed in a worker process."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from metriq_gym.errors import want_of_means

Decoder = Callable[[bytes, Mapping[str, int]], bytes]


def decode_all(decoder: Decoder, results: Sequence[tuple[bytes, Mapping[str, int]]]) -> list[bytes | str]:
    """Return each task's packed counts, given its packed circuits and the provider's counts; or why there are none."""
    return [_decode(decoder, circuits, counts) for circuits, counts in results]


def _decode(decoder: Decoder, circuits: bytes, counts: Mapping[str, int]) -> bytes | str:
    try:
        return decoder(circuits, counts)
    except Exception as error:  # one task's answer must not cost the others theirs
        if want_of_means(error) is not None:
            raise  # which is no answer's fault
        return f"{type(error).__name__}: {error}"
