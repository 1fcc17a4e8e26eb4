"""The Kubernetes manifests as they are sent, and how to look into them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from tests.support.kustomize import render
from tests.support.readme import blocks

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
OVERLAYS = ("dev", "production", "operators")
COMPONENTS = tuple(sorted(path.name for path in (FOLDER / "components").iterdir()))
SERVICES = ("dispatcher", "poller", "scorer", "exporter", "console")

Manifest = dict[str, Any]


@cache
def overlay(name: str) -> list[Manifest]:
    """Return an overlay's manifests; `mine` is the one that the page shows."""
    if name == "mine":
        (text,) = blocks("yaml", FOLDER / "README.md")
        return composed(yaml.safe_load(text), FOLDER / "overlays" / "mine")
    return render(FOLDER / "overlays" / name)


@cache
def with_component(name: str) -> list[Manifest]:
    """Return the base's manifests with one component."""
    return composed({"resources": ["base"], "components": [f"components/{name}"]}, FOLDER)


def composed(kustomization: Manifest, at: Path) -> list[Manifest]:
    """Return the manifests of a user's own overlay, as if it were in the folder `at`."""
    with TemporaryDirectory() as folder:
        here = Path(folder).resolve()
        ours = {
            key: [os.path.relpath(os.path.normpath(at / each), here) for each in kustomization.get(key, [])]
            for key in ("resources", "components")
        }
        (here / "kustomization.yaml").write_text(yaml.safe_dump({**kustomization, **ours}))
        return render(here)


def of(kind: str, manifests: list[Manifest]) -> dict[str, Manifest]:
    """Return the resources of a kind by name."""
    return {each["metadata"]["name"]: each for each in manifests if each["kind"] == kind}


def pods(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the templates of our own pods."""
    for each in manifests:
        if each["kind"] in ("Deployment", "Job"):
            yield each["spec"]["template"]


def containers(manifests: list[Manifest]) -> Iterator[Manifest]:
    """Yield the containers of our own pods."""
    for pod in pods(manifests):
        yield from pod["spec"]["containers"] + pod["spec"].get("initContainers", [])


def labels(manifests: list[Manifest]) -> dict[str, dict[str, str]]:
    """Return the labels of pods by what they belong to, those that operators make included."""
    found = {name: each["spec"]["template"]["metadata"]["labels"] for name, each in of("Deployment", manifests).items()}
    for name in of("RabbitmqCluster", manifests):
        found[name] = {"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "rabbitmq"}
    for name in of("MongoDBCommunity", manifests):
        found[name] = {"app": f"{name}-svc"}
    return found


def selects(selector: Manifest, labels: dict[str, str]) -> bool:
    """Whether a label selector takes a pod."""
    matching = all(labels.get(key) == value for key, value in selector.get("matchLabels", {}).items())
    among = (labels.get(each["key"]) in each["values"] for each in selector.get("matchExpressions", []))
    return matching and all(among)
