"""Whole numbers in answers, in either form that JSON has for them."""

from __future__ import annotations


def whole(value: object) -> int | None:
    """Return a whole number that came as ``3`` or as ``3.0``; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int) else None
