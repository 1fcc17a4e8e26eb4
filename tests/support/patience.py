"""How long a test waits for what should happen: until it takes that for a hang, on however loaded a machine."""

from __future__ import annotations

PATIENCE = 300.0
"""Seconds. It says nothing of how long anything should take, so that no test fails by what else the machine does."""
