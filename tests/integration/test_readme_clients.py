"""The README's ways to ask for a benchmark with nothing but an AMQP client, as printed, end in a JSON file."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tests.servers.rabbitmq import Broker
from tests.support.readme import BROKER_URL, MANAGEMENT_URL, MONGO_URL, blocks
from tests.support.system import System

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Not every machine has the real one.
CURL = f"""curl() {{ "{sys.executable}" -c 'import sys; from urllib.request import urlretrieve
urlretrieve(sys.argv[1], sys.argv[1].split("/")[-1])' "$2"; }}
"""


def printed_by(command: list[str], folder: Path) -> str:
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("client", "job_id", "benchmark"),
    [("aio_pika", "my-first-job", "WIT"), ("pika", "my-second-job", "QML Kernel")],
)
async def test_a_request_published_from_python_ends_in_a_record(
    running: System, tmp_path: Path, client: str, job_id: str, benchmark: str
) -> None:
    (code,) = [block for block in blocks("python") if f"\nimport {client}\n" in block]
    script = tmp_path / "publish.py"
    script.write_text(code.replace(BROKER_URL, running.amqp_url))
    printed_by([sys.executable, str(script)], tmp_path)
    await running.ended(job_id)
    assert running.exported()[job_id]["job_type"] == benchmark


async def test_a_request_published_at_a_shell_ends_in_a_record(
    running: System, amqp_broker: Broker, tmp_path: Path
) -> None:
    (code,) = [block for block in blocks("sh") if "rabbitmqadmin" in block]
    management, host = urlsplit(amqp_broker.management_url), unquote(urlsplit(running.amqp_url).path[1:])
    server = f"{management.scheme}://{management.hostname}:{management.port}"
    options = (
        f"--host {management.hostname} --port {management.port} --vhost {host} "
        f"--username {management.username} --password {management.password}"
    )
    as_here = code.replace(MANAGEMENT_URL, server).replace("--username metriq --password metriq", options)
    assert "Message published\n" in printed_by(["bash", "-euc", CURL + as_here], tmp_path)
    await running.ended("my-third-job")
    record = running.exported()["my-third-job"]
    assert (record["job_type"], record["platform"]["device"]) == ("WIT", "fake_jakarta")


async def test_the_command_line_is_a_client_of_the_services_with_two_variables(running: System, tmp_path: Path) -> None:
    (code,) = [block for block in blocks("sh") if "METRIQ_AMQP_URL" in block]
    as_here = code.replace(BROKER_URL, running.amqp_url).replace(MONGO_URL, running.mongo_url)
    as_here = as_here.replace(".venv/bin/", f"{Path(sys.executable).parent}/")
    settings = f"export METRIQ_DATA_DIR='{tmp_path}' METRIQ_MONGO_DATABASE='{running.database}'\n"
    said = printed_by(["bash", "-euc", settings + as_here], tmp_path)
    assert '"job_type": "WIT"' in said
    assert "no task is overdue, no job is held" in said
