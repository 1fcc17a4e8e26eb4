"""The debug file of metriq-gym's own tool, read as the debug export that `metriq_gym.jobs.replay` scores."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from metriq_gym.constants import JobType
from metriq_gym.errors import InvalidRequest, Problem, Unsupported

Document = Mapping[str, Any]
Parameters = dict[str, Any]
Counts = dict[str, int]
Notes = tuple[dict[str, Any], list[list[Counts]]]
"""A benchmark's data as it is here, and the counts of each run."""

_FIELDS = {"job_type": str, "params": Mapping, "job_data": Mapping, "raw_results": Sequence}


def is_debug_file(document: Document) -> bool:
    """Whether a document is one that metriq-gym's own tool wrote, and not `make_debug_export`."""
    return "raw_results" in document and "format" not in document


def as_debug_export(document: Document) -> dict[str, Any]:
    """Return a debug file of metriq-gym's own tool as a debug export, one task for each circuit.

    Raises
    ------
    InvalidRequest
        Naming the place, when the document is not what that tool writes.
    Unsupported
        For a benchmark whose score needs what such a file does not hold: see `_KNOWN`.
    """
    kinds = _FIELDS.items()
    if wrong := [name for name, kind in kinds if not isinstance(document.get(name), kind)]:
        raise InvalidRequest([Problem(f"$.{name}", "is missing, or not what a debug file has there") for name in wrong])
    name = document["job_type"]
    if name == JobType.CLOPS:
        raise Unsupported(
            "CLOPS is a time, and a debug file holds counts alone: the tool that wrote it cannot score it"
        )
    if name not in _KNOWN:
        known = ", ".join(_KNOWN)
        raise Unsupported(f"a debug file of {name!r} cannot be scored here; known are {known}")
    counts = list(_counts(document["raw_results"]))
    params = {"benchmark_name": name} | dict(document["params"])
    try:
        data, runs = _KNOWN[name](params, document["job_data"], counts)
    except Unsupported:
        raise
    except (LookupError, StopIteration, TypeError, ValueError) as error:
        reason = f"does not fit $.params or the counts: {type(error).__name__}: {error}"
        raise InvalidRequest([Problem("$.job_data", reason)]) from error
    seeds = params.get("seed"), document["job_data"].get("seed")
    return {
        "app_version": str(document.get("app_version") or ""),
        "job_id": str(document.get("job_id") or ""),
        "provider": "",
        "device": "",
        "config": params,
        "seed": next((each for each in seeds if each is not None), 0),
        "data": data,
        "runs": [len(run) for run in runs],
        "tasks": [
            {"run": number, "first": first, "shots": max(1, sum(each.values())), "execution_seconds": None}
            | {"counts": [each]}
            for number, run in enumerate(runs)
            for first, each in enumerate(run)
        ],
        "result": None,
    }


def _as_it_is(_: Document, data: Document, counts: list[Counts]) -> Notes:
    return dict(data), [counts]


def _echoes(params: Parameters, data: Document, counts: list[Counts]) -> Notes:
    """Read states whose first character is of qubit 0, and here the last; the circuit is not in the file."""
    params["observable_qubits"] = data["observable_qubits"]
    states = [state[::-1] for state, _ in zip(data["initial_states"], counts, strict=True)]
    return {"initial_states": states, "noiseless_reference": data["noiseless_reference"]}, [counts]


def _secrets(params: Document, data: Document, counts: list[Counts]) -> Notes:
    """Read QED-C's identifiers, a width and a secret or phase; a width is of counting and of other qubits."""
    name, identifiers = params["benchmark_name"], data["circuit_identifiers"]
    others = 1 if name in (JobType.BERNSTEIN_VAZIRANI, JobType.PHASE_ESTIMATION) else 0
    groups = []
    for width, group in groupby(identifiers, key=lambda each: int(each[0])):
        bits = width - others
        scale = 2**bits if name == JobType.PHASE_ESTIMATION else 1
        groups.append([format(round(float(secret) * scale) % 2**bits, f"0{bits}b") for _, secret in group])
    widths = [len(secret) for group in groups for secret in group]
    return {"secrets": groups}, [[_last_bits(each, bits) for each, bits in zip(counts, widths, strict=True)]]


def _cuts(params: Document, data: Document, counts: list[Counts]) -> Notes:
    """Read a problem's edges, whose weights are drawn alike here; its node 0 is the leftmost bit, and here the last."""
    if data["circuit_encoding"] != "Direct":
        raise Unsupported("the SWAP network of the tool that wrote the file does not tell which node a bit is of")
    edges = [[first, second] for first, second, _ in data["graph_info"]]
    native = edges if params["graph_type"] == "NL" else None
    nodes = range(params["num_qubits"])[::-1]
    return {"draw": "choice", "native_edges": native}, [[_chosen_bits(each, nodes) for each in counts]]


def _layers(params: Document, data: Document, counts: list[Counts]) -> Notes:
    """Read circuits sample by sample, layer by layer, in ascending lengths, and bits in the order of the chain."""
    chain, lengths = data["qubit_chain"], params["lengths"]
    ascending = sorted(range(len(lengths)), key=lengths.__getitem__)
    bits = []
    for layer in data["two_disjoint_layers"]:
        measured = [qubit for pair in layer for qubit in pair]
        measured += [qubit for qubit in chain if qubit not in measured]
        bits.append([measured.index(qubit) for qubit in chain])
    circuits = iter(counts)
    runs = []
    for _ in range(params["num_samples"]):
        run = []
        for places in bits:
            drawn = [next(circuits) for _ in lengths]
            run += [_chosen_bits(drawn[position], places) for position in ascending]
        runs.append(run)
    return {"qubit_chain": chain}, runs


def _pairs(_: Document, data: Document, counts: list[Counts]) -> Notes:
    """Read the colours of a graph; its bases ZX and XZ have the rotated qubit last, and here first."""
    coloring = data["coloring"]
    color_of = coloring["edge_color_map"]
    colors: list[list[list[int]]] = [[] for _ in range(1 + max(color_of.values()))]
    for number, color in color_of.items():
        first, second, *_ = coloring["edge_index_map"][number]
        colors[color].append([first, second])
    circuits = iter(counts)
    run = []
    for color in colors:
        zz, xz, zx, xx = (_last_bits(next(circuits), 2 * len(color)) for _ in range(4))
        run += [zz, zx, xz, xx]
    return {"num_qubits": coloring["num_nodes"], "colors": colors}, [run]


_KNOWN: dict[str, Callable[[Parameters, Document, list[Counts]], Notes]] = {
    JobType.WIT: _as_it_is,
    JobType.QML_KERNEL: _as_it_is,
    JobType.MIRROR_CIRCUITS: _as_it_is,
    JobType.BERNSTEIN_VAZIRANI: _secrets,
    JobType.HIDDEN_SHIFT: _secrets,
    JobType.PHASE_ESTIMATION: _secrets,
    JobType.QUANTUM_FOURIER_TRANSFORM: _secrets,
    JobType.LR_QAOA: _cuts,
    JobType.EPLG: _layers,
    JobType.BSEQ: _pairs,
    JobType.QAT_OLE: _echoes,
}
"""Benchmarks whose file holds all that the score needs; CLOPS is a time, which it does not."""


def _last_bits(counts: Counts, bits: int) -> Counts:
    """Return counts without the zeros that fill up the bitstrings of circuits narrower than the widest."""
    return _chosen_bits(counts, range(bits))


def _chosen_bits(counts: Counts, places: Sequence[int]) -> Counts:
    """Return counts of these classical bits alone, `places[i]` as bit i."""
    chosen: Counts = {}
    for outcome, times in counts.items():
        lowest_first = outcome[::-1]
        kept = "".join(lowest_first[place] for place in reversed(places))
        chosen[kept] = chosen.get(kept, 0) + times
    return chosen


def _counts(results: Sequence[Any]) -> Iterator[Counts]:
    """Yield the counts of each circuit; a provider's job has those of one circuit, or a list."""
    for number, each in enumerate(results):
        found = each.get("measurement_counts") if isinstance(each, Mapping) else None
        for counts in found if isinstance(found, list) else [found]:
            if not isinstance(counts, Mapping) or not all(isinstance(times, int) for times in counts.values()):
                raise InvalidRequest([Problem(f"$.raw_results[{number}].measurement_counts", "has no counts")])
            yield dict(counts)
