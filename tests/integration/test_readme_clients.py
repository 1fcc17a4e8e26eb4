"""The README's ways to ask for a benchmark of running services, as printed, end in a JSON file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.servers.rabbitmq import Broker
from tests.support.readme import Addresses, block, run_python, run_shell
from tests.support.system import System

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def addresses(running: System, amqp_broker: Broker) -> Addresses:
    return Addresses(running.amqp_url, amqp_broker.management_url, running.mongo_url)


@pytest.mark.parametrize(
    ("client", "job_id", "benchmark"),
    [("aio_pika", "my-first-job", "WIT"), ("pika", "my-second-job", "QML Kernel")],
)
async def test_a_request_published_from_python_ends_in_a_record(
    running: System, addresses: Addresses, tmp_path: Path, client: str, job_id: str, benchmark: str
) -> None:
    run_python(addresses.in_(block("python", f"\nimport {client}\n")), tmp_path)
    await running.ended(job_id)
    assert running.exported()[job_id]["job_type"] == benchmark


async def test_a_request_published_at_a_shell_ends_in_a_record(
    running: System, addresses: Addresses, tmp_path: Path
) -> None:
    assert "Message published\n" in run_shell(addresses.in_(block("sh", "rabbitmqadmin")), tmp_path)
    await running.ended("my-third-job")
    record = running.exported()["my-third-job"]
    assert (record["job_type"], record["platform"]["device"]) == ("WIT", "fake_jakarta")


async def test_the_command_line_is_a_client_of_the_services_with_two_variables(
    running: System, addresses: Addresses, tmp_path: Path
) -> None:
    settings = {"METRIQ_DATA_DIR": str(tmp_path), "METRIQ_MONGO_DATABASE": running.database}
    said = run_shell(addresses.in_(block("sh", "METRIQ_AMQP_URL")), tmp_path, settings)
    assert '"job_type": "WIT"' in said
    assert "no task is overdue, no job is held, stuck" in said
