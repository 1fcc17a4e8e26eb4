"""The poller: runs the tasks of local providers, and asks remote ones how theirs are doing."""

from services.poller.service import Poller

__all__ = ["Poller"]
