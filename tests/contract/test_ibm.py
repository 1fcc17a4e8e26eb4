"""The provider ``ibm`` passes the contract: through the library's own HTTP client, on a server of IBM's REST API."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from metriq_gym.providers.ibm.plugin import IBMSettings
from metriq_gym.providers.ibm.provider import IBMProvider
from metriq_gym.providers.provider import RemoteProvider
from metriq_gym.testing.contract import Cloud, Fault, RemoteContract
from tests.ibm.server import CRN, KEY, IBMCloud, serving


@dataclass(frozen=True)
class Told:
    """The service, as the contract tells it what to do."""

    served: IBMCloud
    device: str = "ibm_lagos"

    def provider(self) -> RemoteProvider:
        return IBMProvider.from_settings(IBMSettings(token=KEY, instance=CRN, url=self.served.url))

    def accepted(self) -> list[str]:
        return [tag for job in list(self.served.jobs.values()) for tag in job["tags"]]

    def strike(self, fault: Fault) -> None:
        self.served.fault = str(fault)

    def heal(self) -> None:
        self.served.fault = None
        self.served.healed.set()

    def finish(self) -> None:
        self.served.held = False


class TestIBM(RemoteContract):
    @contextmanager
    def cloud(self) -> Iterator[Cloud]:
        with serving(held=True) as served:
            yield Told(served)
