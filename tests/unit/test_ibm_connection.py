"""What counts as sent to IBM when TLS breaks: all that may have arrived."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import requests
import trustme

from metriq_gym.errors import SubmissionAmbiguous, Transient
from metriq_gym.providers.ibm.client import _described
from tests.support.patience import PATIENCE

BODY = b"a job"
BROKEN_RECORD = b"\x17\x03\x03\x00\x40" + bytes(64)


@contextmanager
def serving(certificate: trustme.LeafCert, received: list[bytes]) -> Iterator[str]:
    """A server that takes one request over TLS, and answers with what no client can decrypt."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            plain, _ = listener.accept()
            with plain:
                try:
                    encrypted = context.wrap_socket(plain, server_side=True)
                    while not b"".join(received).endswith(BODY):
                        received.append(encrypted.recv(65536))
                except OSError:
                    return  # the client hung up
                with socket.socket(fileno=encrypted.detach()) as connection:
                    connection.sendall(BROKEN_RECORD)
                    with suppress(OSError):
                        while connection.recv(65536):
                            pass  # until the client has seen it and hangs up

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"https://localhost:{listener.getsockname()[1]}/jobs"
        thread.join(PATIENCE)


@pytest.mark.parametrize("trusted", [True, False])
def test_only_what_cannot_have_arrived_is_not_in_doubt(trusted: bool, tmp_path: Path) -> None:
    authority = trustme.CA()
    (authority if trusted else trustme.CA()).cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    received: list[bytes] = []
    with (
        serving(authority.issue_cert("localhost"), received) as url,
        pytest.raises(requests.exceptions.SSLError) as raised,
    ):
        requests.post(url, data=BODY, verify=str(tmp_path / "ca.pem"), timeout=PATIENCE)
    assert bool(received) == trusted
    assert type(_described(raised.value, SubmissionAmbiguous)) is (SubmissionAmbiguous if trusted else Transient)
