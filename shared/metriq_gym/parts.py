"""The parts that a plain installation leaves out, which is a client's, and the extra that brings each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, distribution

from metriq_gym.errors import MetriqGymError

DISTRIBUTION = "metriq-gym-services"
NAMESAKE = "metriq-gym"
"""A distribution with the same package and the same command."""
EXTRAS = {
    "aiolimiter": "embedded",
    "apprise": "notify",
    "fastapi": "console",
    "github": "exporter",
    "httpx": "embedded",
    "ibm_cloud_sdk_core": "ibm",
    "jinja2": "console",
    "latex2mathml": "console",
    "markdown_it": "console",
    "markupsafe": "console",
    "matplotlib": "plots",
    "numpy": "embedded",
    "openqasm3": "embedded",
    "opentelemetry": "otel",
    "pandas": "frames",
    "pyarrow": "frames",
    "qiskit": "embedded",
    "qiskit_aer": "embedded",
    "qiskit_ibm_runtime": "ibm",
    "qiskit_qasm3_import": "embedded",
    "requests": "exporter",
    "rustworkx": "embedded",
    "scipy": "embedded",
    "starlette": "console",
    "urllib3": "ibm",
    "uvicorn": "console",
    "uvloop": "embedded",
}
"""Top-level module → the extra to install for it; ``embedded`` brings all that runs jobs."""
_DOES = {
    "console": "serves the console",
    "embedded": "runs jobs on this machine",
    "exporter": "brings results to GitHub",
    "notify": "tells people",
    "frames": "makes data frames and Parquet files",
    "ibm": "runs jobs on IBM's devices",
    "otel": "sends traces",
    "plots": "draws",
}


class MissingPart(MetriqGymError):
    """A part of metriq-gym is not installed."""


def explained(error: ModuleNotFoundError) -> MissingPart | None:
    """Return what to install for a module that was not found; None where that is not a matter of installing."""
    module = (error.name or "").split(".")[0]
    if (extra := EXTRAS.get(module)) is None:
        return None
    install = f"pip install '{DISTRIBUTION}[{extra}]'"
    return MissingPart(f"what {_DOES[extra]} is not installed (no module {module}): {install}")


def refuse_namesake() -> None:
    """Raise `MetriqGymError` when metriq-gym is installed beside this: each has overwritten files of the other."""
    try:
        distribution(NAMESAKE)
    except PackageNotFoundError:
        return
    raise MetriqGymError(
        f"{NAMESAKE} is installed in this environment too, and has the same package (metriq_gym) and command (mgym): "
        f"uninstall both, and install {DISTRIBUTION} in an environment of its own"
    )


@contextmanager
def parts() -> Iterator[None]:
    """Raise `MissingPart` in place of `ModuleNotFoundError` for what an extra would bring."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (missing := explained(error)) is None:
            raise
        raise missing from error
