"""The published contracts say what the code does."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from metriq_gym.bus.asyncapi import as_yaml, document
from metriq_gym.bus.port import QUEUES
from metriq_gym.messages import MESSAGES, JobDispatched, JobRequested, Message

PUBLISHED = Path(__file__).parents[2] / "docs" / "asyncapi.yaml"


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if "$ref" in node:
            yield node["$ref"]
        for child in node.values():
            yield from references(child)
    elif isinstance(node, list):
        for child in node:
            yield from references(child)


def test_published_document_is_fresh() -> None:
    assert PUBLISHED.read_text() == as_yaml(), "python -m metriq_gym.bus.asyncapi > docs/asyncapi.yaml"


@pytest.mark.slow
def test_module_prints_the_document() -> None:
    printed = subprocess.run(
        [sys.executable, "-m", "metriq_gym.bus.asyncapi"], capture_output=True, text=True, check=True
    )

    assert yaml.safe_load(printed.stdout) == document()


def test_every_reference_leads_somewhere() -> None:
    tree = document()
    found = list(references(tree))
    assert found
    for reference in found:
        node = tree
        for name in reference.removeprefix("#/").split("/"):
            node = node[name]


def test_every_message_has_a_channel_at_its_routing_key() -> None:
    assert {c["address"] for c in document()["channels"].values()} == {m.routing_key for m in MESSAGES}


def test_exactly_what_the_queues_are_bound_to_is_received() -> None:
    tree = document()
    received = {
        tree["channels"][operation["channel"]["$ref"].rpartition("/")[2]]["address"]
        for operation in tree["operations"].values()
        if operation["action"] == "receive"
    }
    assert received == {routing_key for queue in QUEUES for routing_key in queue.routing_keys}


@pytest.mark.parametrize("message", MESSAGES, ids=lambda message: message.routing_key)
def test_payload_schemas_are_valid(message: type[Message]) -> None:
    jsonschema.Draft7Validator.check_schema(document()["components"]["schemas"][message.__name__])


def test_payload_schema_accepts_what_is_published_and_refuses_what_is_not() -> None:
    schemas = document()["components"]["schemas"]
    request = JobRequested(job_id="a", provider="local", device="aer_simulator", config={"benchmark_name": "WIT"})
    jsonschema.validate(request.model_dump(mode="json"), schemas["JobRequested"])
    jsonschema.validate(JobDispatched(job_id="a").model_dump(mode="json"), schemas["JobDispatched"])
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"job_id": "../a"}, schemas["JobDispatched"])
