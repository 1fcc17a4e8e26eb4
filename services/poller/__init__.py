"""The poller: runs the tasks of local providers, and asks remote ones how theirs are doing."""

from .service import Poller

__all__ = ["Poller"]
