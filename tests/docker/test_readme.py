"""The README's part on a queue with services, from the first command to the last, as a newcomer types it."""

from __future__ import annotations

import json
import os
import secrets
from pathlib import Path

from tests.servers.discovery import free_port
from tests.servers.mongodb import IMAGE as MONGO_IMAGE
from tests.support.readme import ROOT, Addresses, block, run_python, run_shell


def test_requests_by_every_way_printed_come_out_as_files(tmp_path: Path) -> None:
    amqp, management, mongo = (free_port() for _ in range(3))
    addresses = Addresses(
        f"amqp://metriq:metriq@localhost:{amqp}/",
        f"http://metriq:metriq@localhost:{management}",
        f"mongodb://metriq:metriq@localhost:{mongo}/?directConnection=true",
    )
    environment = {
        "COMPOSE_PROJECT_NAME": f"metriq-readme-{secrets.token_hex(4)}",
        "COMPOSE_FILE": str(ROOT / "docker-compose.yml"),
        "RABBITMQ_PORT": str(amqp),
        "RABBITMQ_MANAGEMENT_PORT": str(management),
        "MONGO_PORT": str(mongo),
        "MONGO_IMAGE": MONGO_IMAGE,
        "METRIQ_IMAGE_TAG": os.environ.get("METRIQ_IMAGE_TAG", "test"),
        "METRIQ_DATA_DIR": str(tmp_path / "data"),
    }
    run_shell("docker compose build --quiet", tmp_path, environment)
    try:
        run_shell(block("sh", "docker compose up -d --wait\n"), tmp_path, environment)
        for client in ("aio_pika", "pika"):
            run_python(addresses.in_(block("python", f"\nimport {client}\n")), tmp_path)
        run_shell(addresses.in_(block("sh", "rabbitmqadmin")), tmp_path)
        said = run_shell(addresses.in_(block("sh", "METRIQ_AMQP_URL")), tmp_path, environment)
        assert "exported" in said
        for name in ("my-first-job", "my-second-job", "my-third-job"):
            run_shell(
                addresses.in_(
                    "export METRIQ_AMQP_URL='amqp://metriq:metriq@localhost/' "
                    "METRIQ_MONGO_URL='mongodb://metriq:metriq@localhost/?directConnection=true'\n"
                    f".venv/bin/mgym job poll {name}"
                ),
                tmp_path,
                environment,
            )
        run_shell("docker compose cp exporter:/results .", tmp_path, environment)
        records = {path.stem: json.loads(path.read_text()) for path in (tmp_path / "results").iterdir()}
        assert records.keys() >= {"my-first-job", "my-second-job", "my-third-job"}
        assert records["my-first-job"]["results"]["score"]["value"] > 0.99
    finally:
        run_shell("docker compose down --volumes --timeout 10", tmp_path, environment)
