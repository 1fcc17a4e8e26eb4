"""Jobs and tasks in MongoDB: every query the project makes lives here.

No message is published here, no metric counted, and no user given rights.
"""

from metriq_gym.store.store import Store

__all__ = ["Store"]
