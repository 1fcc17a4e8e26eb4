"""The scorer: from a job's counts to its result."""

from services.scorer.service import Scorer

__all__ = ["Scorer"]
