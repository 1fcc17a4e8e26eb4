"""Jobs and tasks in MongoDB: every query the project makes lives here.

No message is published here, no metric counted, and no user given rights.
"""

import sys
from importlib.util import find_spec

if find_spec("OpenSSL") is None:
    # Else the driver looks for it only after importing a library of certificates: an eighth of a short command's time.
    sys.modules.setdefault("pymongo.pyopenssl_context", None)  # type: ignore[arg-type]

from metriq_gym.store.store import Store

__all__ = ["Store"]
