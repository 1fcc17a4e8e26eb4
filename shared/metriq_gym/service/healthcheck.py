"""`python -m metriq_gym.service.healthcheck [livez|readyz]`: a container's health check; needs no shell and no curl.

Exits with 0 when the service's page answers 200, and otherwise with 1 and what it answered. Loads next to nothing,
since it runs every few seconds.
"""

from __future__ import annotations

import os
import sys
from http.client import HTTPConnection, HTTPException


def main(page: str = "livez") -> None:
    """Ask for one page at METRIQ_HTTP_HOST and METRIQ_HTTP_PORT."""
    host = os.environ.get("METRIQ_HTTP_HOST", "127.0.0.1")
    port = os.environ.get("METRIQ_HTTP_PORT", "8080")
    connection = HTTPConnection(host, int(port), timeout=4)
    try:
        connection.request("GET", f"/{page}")
        response = connection.getresponse()
        answer = response.read().decode()
    except (OSError, HTTPException) as error:
        sys.exit(f"nothing answers at {host}:{port}: {error}")
    if response.status != 200:
        sys.exit(answer)


if __name__ == "__main__":
    main(*sys.argv[1:])
