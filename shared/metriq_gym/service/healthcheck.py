"""`python -I -S …/healthcheck.py [livez|readyz]`: a container's health check; needs no shell and no curl.

Exits with 0 when the service's page answers 200, and otherwise with 1 and what it answered. It runs every few seconds
in every container, so it is run by its path, without `site` and without this package, and needs nothing but sockets: an
interpreter's start, a fifth of what it is with an HTTP client.
"""

import os
import socket
import sys

SECONDS = 4.0


def ask(host: str, port: int, page: str) -> tuple[int, str]:
    """Return the status and the body of a page."""
    request = f"GET /{page} HTTP/1.0\r\nHost: {host}\r\nConnection: close\r\n\r\n"
    with socket.create_connection((host, port), timeout=SECONDS) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    head, _, body = answer.decode(errors="replace").partition("\r\n\r\n")
    status = head.split(" ", 2)[1:2]
    if not (status and status[0].isdecimal()):
        raise OSError(f"no HTTP: {head[:80]!r}")
    return int(status[0]), body


def main(page: str = "livez") -> None:
    """Ask for one page at METRIQ_HTTP_HOST and METRIQ_HTTP_PORT."""
    host = os.environ.get("METRIQ_HTTP_HOST", "127.0.0.1")
    port = os.environ.get("METRIQ_HTTP_PORT", "8080")
    try:
        status, body = ask(host, int(port), page)
    except OSError as error:
        sys.exit(f"nothing answers at {host}:{port}: {error}")
    if status != 200:
        sys.exit(body)


if __name__ == "__main__":
    main(*sys.argv[1:])
