"""IBM's own client, called from threads: each request is sent once, and an error says what may be done about it."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any, TypeVar

import requests
from qiskit_ibm_runtime.api.client import RuntimeClient
from qiskit_ibm_runtime.api.client_parameters import ClientParameters
from requests.adapters import HTTPAdapter
from urllib3.exceptions import MaxRetryError, NewConnectionError, ProtocolError, SSLError

from metriq_gym.errors import MetriqGymError, Permanent, Transient
from metriq_gym.providers.ibm.credential import CHECK, Credential
from metriq_gym.providers.ibm.plugin import IBM
from metriq_gym.providers.plugin import one_line
from metriq_gym.providers.provider import CredentialTrouble, Trouble, TryLater
from metriq_gym.web import retry_after

CONNECT_SECONDS = 5.0
READ_SECONDS = 20.0
SUBMIT_SECONDS = 60.0
"""How long the answer to a submission may take, with all its circuits to be sent."""
ANSWER_SECONDS = 120.0
"""How long a whole answer may take to come: one that comes drop by drop would keep its thread for ever."""
MAX_BYTES = 64 * 2**20
"""Size up to which an answer is read; 100,000 shots of 133 qubits are 3 MB."""
SEND_WITHIN = 30.0
"""A call that has got no token for so long sends nothing any more: what it would send is looked for soon."""
Answer = TypeVar("Answer")


class IBMRefused(Permanent):
    """IBM does not do what it was asked for."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotUnderstood(Transient):
    """IBM answered, and what it said is not what its description has."""


class IBMClient:
    """Asks one instance of IBM Quantum.

    Parameters
    ----------
    credential:
        Signs the requests.
    url:
        IBM Cloud, of which the library knows the service's own address, or a server that has ``/api/v1`` itself.
    concurrency:
        How many threads wait for answers at most.
    """

    def __init__(self, credential: Credential, instance: str, channel: str, url: str, concurrency: int) -> None:
        self.trouble: Trouble | None = None
        self.concurrency = concurrency
        self._credential = credential
        self._threads = ThreadPoolExecutor(concurrency, thread_name_prefix="ibm")
        resolver = None if url == IBM else lambda *_: f"{url}/api/v1"
        self._runtime = RuntimeClient(_Parameters(credential, channel, "", url, instance, url_resolver=resolver))
        session = self._runtime._session
        for scheme in ("http://", "https://"):
            session.mount(scheme, _Once(pool_maxsize=concurrency))

    async def ask(self, call: Callable[[RuntimeClient], Answer], in_doubt: type[MetriqGymError] = Transient) -> Answer:
        """Call the library in a thread; raises `in_doubt` where what was asked for may or may not have been done."""
        began = time.monotonic()

        def called() -> Answer:
            if time.monotonic() - began > SEND_WITHIN:
                raise Transient("no thread was free for long: IBM was not asked")
            try:
                return call(self._runtime)
            except Exception as error:
                raise _described(error, in_doubt) from error

        try:
            answer = await asyncio.get_running_loop().run_in_executor(self._threads, called)
        except CredentialTrouble as error:
            self._credential.forget()
            self.trouble = self.trouble or Trouble(str(error), datetime.now(UTC))
            raise
        self.trouble = None
        return answer

    async def aclose(self) -> None:
        """Close the connections; a call under way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._runtime._session.close()


class _Parameters(ClientParameters):  # type: ignore[misc]  # the library has no types
    def __init__(self, credential: Credential, *arguments: Any, **keywords: Any) -> None:
        super().__init__(*arguments, **keywords)
        self._credential = credential

    def get_auth_handler(self) -> Credential:
        return self._credential


class _Once(HTTPAdapter):  # type: ignore[misc]  # requests has no types
    """Sends without trying again, which the library would, submissions included, and never waits without end."""

    def send(self, request: Any, *arguments: Any, **keywords: Any) -> Any:
        submits = request.method == "POST" and request.url.endswith("/jobs")
        keywords["timeout"] = (CONNECT_SECONDS, SUBMIT_SECONDS if submits else READ_SECONDS)
        response = super().send(request, *arguments, **keywords)
        response.raw = _Bounded(response.raw)
        return response


class _Bounded:
    """An answer whose body is read as it comes, up to a time and a size."""

    def __init__(self, raw: Any) -> None:
        self._raw = raw

    def __getattr__(self, name: str) -> Any:
        return getattr(self._raw, name)

    def stream(self, size: int, decode_content: bool | None = None) -> Iterator[bytes]:
        read, end = 0, time.monotonic() + ANSWER_SECONDS
        while part := self._raw.read1(size, decode_content):
            read += len(part)
            if read > MAX_BYTES or time.monotonic() > end:
                self._raw.close()
                bounds = f"{MAX_BYTES:,} bytes and {ANSWER_SECONDS:g} s"
                raise ProtocolError(f"the answer is longer, or takes longer, than {bounds}")
            yield part


def _described(error: BaseException, in_doubt: type[MetriqGymError]) -> MetriqGymError:
    """Return the class of error that an exception of the library stands for, by what it was raised for."""
    chain: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in chain:
        chain.append(cause)
        cause = cause.__cause__ or cause.__context__
    for each in chain:
        if isinstance(each, MetriqGymError):
            return each
        if isinstance(each, requests.RequestException):
            return _of_http(each, in_doubt)
    kind = NotUnderstood if in_doubt is Transient else in_doubt
    return kind(f"IBM's answer is not understood: {one_line(error)}")


def _of_http(error: Any, in_doubt: type[MetriqGymError]) -> MetriqGymError:
    if error.response is None:
        if _was_not_sent(error):
            return Transient(f"IBM cannot be reached: {one_line(error)}")
        return in_doubt(f"IBM gave no answer that can be read: {one_line(error)}")
    status, said = error.response.status_code, f"IBM answered with HTTP {error.response.status_code}: {_told(error)}"
    headers = error.response.headers
    asked = retry_after(headers.get("Retry-After"), headers.get("Date"), datetime.now(UTC))
    if status in (401, 403):
        return CredentialTrouble(f"{said}; {CHECK}")
    if status == 429:
        return TryLater(said, retry_after=asked)
    if status == 408 or status >= 500:
        return TryLater(said, retry_after=asked) if in_doubt is Transient else in_doubt(said)
    return IBMRefused(said, status)


def _was_not_sent(error: Any) -> bool:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return True
    failed = error.args[0] if error.args else None
    reason = failed.reason if isinstance(failed, MaxRetryError) else None
    # TLS may also break after the request has arrived; but the certificate is looked at before anything is sent.
    is_distrusted = isinstance(reason, SSLError) and isinstance(reason.args[0], ssl.SSLCertVerificationError)
    return is_distrusted or isinstance(reason, NewConnectionError)


def _told(error: Any) -> str:
    try:
        document = error.response.json()
        errors = document.get("errors") or [document["error"]]
        return "; ".join(" ".join(str(each["message"]).split()) for each in errors)[:500]
    except (ValueError, LookupError, TypeError, AttributeError):
        return " ".join(error.response.text.split())[:200]
