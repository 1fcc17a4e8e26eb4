"""Answers requests for an estimate: what a job would ask of its device, and what the device's twin would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import structlog
from pydantic import ValidationError

from metriq_gym.bus.port import Delivery
from metriq_gym.errors import InvalidRequest, MetriqGymError, NotFound, Permanent, Problem, Transient, Unreadable
from metriq_gym.jobs.documents import DrawnCircuit, EstimateAnswer
from metriq_gym.jobs.estimate import estimate
from metriq_gym.jobs.plan import build, make_plan
from metriq_gym.jobs.scoring import Share, score
from metriq_gym.messages import Compilation, EstimateRequested, ScheduleRequested
from metriq_gym.packing import pack_counts, unpack_circuits
from metriq_gym.providers import Providers, installed
from metriq_gym.providers.provider import Compiler, Device, LocalProvider, Provider
from metriq_gym.schema_validator import seed_of, validate
from metriq_gym.service.pool import Pool, WorkerDied
from metriq_gym.store import Store
from metriq_gym.suite_parser import parse_suite, select
from metriq_gym.wording import from_pydantic

from .scheduler import Cost, asks

log = structlog.get_logger()

MOST_CHARACTERS = 4_000_000
"""Of all circuits of an answer: it has to fit a document of the store."""
DRAWN_OPERATIONS = 2000
DRAWING_WIDTH = 140
TWINS = "local"
"""The provider that has digital twins of others' devices."""
SECONDS = 60.0
"""How long building and compiling the circuits may take, and again simulating them: a person waits for it."""


class Estimator:
    """Looks devices up at their providers, and computes in the pool."""

    def __init__(self, store: Store, pool: Pool, providers: Providers, compilation: Compilation) -> None:
        self._store = store
        self._pool = pool
        self._providers = providers
        self._compilation = compilation

    async def answer(self, delivery: Delivery) -> None:
        """Store the answer to a request; raises `Unreadable` for one that names no answer."""
        try:
            request = EstimateRequested.model_validate_json(delivery.body)
        except ValidationError as error:
            raise Unreadable(f"{EstimateRequested.routing_key}: {InvalidRequest(from_pydantic(error))}") from None
        await self._store.estimates.answer(await self._answer_to(request))

    async def _answer_to(self, request: EstimateRequested) -> EstimateAnswer:
        try:
            config, _ = validate(request.config, "$.config")
            provider, device = await self._find(request.provider, request.device)
            found = await self._pool.run_within(
                SECONDS, estimate, config, device, provider.compiler, self._level(request)
            )
        except InvalidRequest as error:
            return _problems(request, error)
        except TimeoutError:
            return _problems(request, _at("$.config", f"building the circuits takes longer than {SECONDS:g} s"))
        except (MetriqGymError, ArithmeticError, LookupError, ValueError) as error:
            return _problems(request, _at("$", str(error) or type(error).__name__))
        answer = EstimateAnswer(id=request.estimate_id, estimate=found.to_dict())
        if request.circuits:
            drawn = await self._drawn(request, config, device, provider)
            answer = answer.model_copy(update={"circuits": drawn})
        return answer.model_copy(update=await self._prediction(request, config)) if request.predict else answer

    async def cost(self, asked: ScheduleRequested) -> Cost:
        """Return what a tick of a schedule asks of its device; raises `InvalidRequest`, or what building raises."""
        configs = [asked.config or {}]
        if asked.suite is not None:
            suite, _ = parse_suite(asked.suite, "$.suite")
            configs = [each.config for each in select(suite, asked.components, asked.all)]
        _, device = await self._find(asked.provider, asked.device)
        shots = circuits = 0
        for each in configs:
            config, _ = validate(each, "$.config")
            cost = await self._pool.run_within(SECONDS, asks, config, device)
            shots, circuits = shots + cost.shots, circuits + cost.circuits
        return Cost(shots, circuits)

    def _level(self, request: EstimateRequested) -> Compilation:
        return request.compilation or self._compilation

    async def _drawn(
        self, request: EstimateRequested, config: Mapping[str, Any], device: Device, provider: Provider
    ) -> list[DrawnCircuit]:
        seed = seed_of(config) or 0 if request.seed is None else request.seed
        try:
            return await self._pool.run_within(
                SECONDS, drawn, config, seed, device, provider.compiler, self._level(request), request.circuits
            )
        except (TimeoutError, MetriqGymError) as error:
            log.info("no circuits", reason=str(error))
            return []

    async def _find(self, provider_name: str, device_id: str) -> tuple[Provider, Device]:
        try:
            provider = self._providers.get(provider_name)
        except (NotFound, Permanent) as error:
            raise _at("$.provider", str(error)) from None
        try:
            return provider, await provider.device(device_id)
        except (NotFound, Permanent, Transient) as error:
            raise _at("$.device", str(error)) from None

    async def _prediction(self, request: EstimateRequested, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return the fields of an answer that tell what a simulation gives."""
        is_local = request.provider in installed().of_kind(local=True)
        provider_name = request.provider if is_local else TWINS
        twin = request.device if is_local else f"{request.provider}:{request.device.partition('?')[0]}"
        try:
            provider, device = await self._find(provider_name, twin)
            assert isinstance(provider, LocalProvider)  # noqa: S101  (the plug-in says so)
            predicted = await self._pool.run_within(SECONDS, predict, config, device, provider, self._level(request))
        except TimeoutError:
            return {"unpredicted": f"simulating it takes longer than {SECONDS:g} s"}
        except WorkerDied:
            return {"unpredicted": "simulating it takes more memory than there is"}
        except Exception as error:
            log.info("no prediction", device=twin, reason=str(error))
            return {"unpredicted": str(error) or type(error).__name__}
        return {"predicted": predicted, "predicted_by": f"{device.provider}/{device.id}"}


def drawn(
    config: Mapping[str, Any], seed: int, device: Device, compiler: Compiler, compilation: Compilation, most: int
) -> list[DrawnCircuit]:
    """Return the first compiled circuits of a validated configuration, as many as fit; picklable, and CPU-bound."""
    from qiskit import qasm3

    _, runs = build(config, seed, device)
    found: list[DrawnCircuit] = []
    size = 0
    for circuits, _ in runs:
        named = [circuit.name for circuit in circuits[: most - len(found)]]
        for name, circuit in zip(named, compiler(device, circuits[: len(named)], seed, compilation), strict=True):
            drawing = ""
            if circuit.size() <= DRAWN_OPERATIONS:
                drawing = str(circuit.draw("text", fold=DRAWING_WIDTH, idle_wires=False))
            each = DrawnCircuit(name=name, qasm=qasm3.dumps(circuit), drawing=drawing)
            size += len(each.qasm) + len(each.drawing)
            if size > MOST_CHARACTERS:
                return found
            found.append(each)
    return found


def predict(
    config: Mapping[str, Any], device: Device, provider: LocalProvider, compilation: Compilation
) -> dict[str, Any]:
    """Return the result of simulating what a validated configuration asks for; picklable, and CPU-bound.

    Raises `Unsupported` when the device cannot run it, and what scoring raises.
    """
    seed = seed_of(config) or 0
    plan = make_plan(config, seed, device, provider.compiler, provider.max_circuits_per_task, compilation)
    shares = []
    for task in plan.tasks:
        ran = provider.simulation(device.id, unpack_circuits(task.circuits), task.shots, task.seed)
        shares.append(Share(task.run, task.first, pack_counts(ran.counts), ran.seconds, ran.sampling_seconds))
    return score(config, seed, plan.data, plan.runs, shares)


def _at(path: str, message: str) -> InvalidRequest:
    return InvalidRequest([Problem(path, message)])


def _problems(request: EstimateRequested, error: InvalidRequest) -> EstimateAnswer:
    problems = [{"path": each.path, "message": each.message} for each in error.problems]
    return EstimateAnswer(id=request.estimate_id, problems=problems)
