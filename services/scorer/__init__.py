"""The scorer: from a job's counts to its result."""

from .service import Scorer

__all__ = ["Scorer"]
