"""Pictures: each says what its benchmark says, with the errors that are known, and joins only what is comparable."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rustworkx as rx
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from metriq_gym import benchmarks
from metriq_gym.benchmarks.bseq import BSEQ, BSEQData, chsh_errors, chsh_values
from metriq_gym.benchmarks.wit import IDEAL, wit_circuit
from metriq_gym.constants import JobType
from metriq_gym.errors import NotFound, Permanent
from metriq_gym.jobs import Job, Task, TaskState
from metriq_gym.jobs.documents import CalibrationPoint
from metriq_gym.jobs.scoring import Share, regroup, score
from metriq_gym.jobs.trends import calibrated, histories
from metriq_gym.packing import pack_counts
from metriq_gym.schema_validator import validate
from metriq_gym.terminal import plots
from tests.support.devices import RecordingDevice, simulate
from tests.support.jobs import ended_job, failed_job

ALGORITHM = {"min_qubits": 3, "max_qubits": 4, "max_circuits": 3, "shots": 200}
QASM = """OPENQASM 3.0;
include 'stdgates.inc';
qubit[3] q;
rx(0.4) q[0];
cz q[0], q[1];
rx(0.3) q[1];
cz q[1], q[2];
"""
CONFIGS: dict[JobType, dict[str, Any]] = {
    JobType.WIT: {"num_qubits": 7, "shots": 500},
    JobType.QML_KERNEL: {"num_qubits": 3, "shots": 200},
    JobType.BSEQ: {"shots": 500},
    JobType.CLOPS: {"num_qubits": 3, "num_layers": 5, "num_circuits": 4, "shots": 50},
    JobType.MIRROR_CIRCUITS: {"width": 3, "num_layers": 2, "num_circuits": 4, "shots": 200},
    JobType.QUANTUM_VOLUME: {"num_qubits": 3, "trials": 5, "shots": 200},
    JobType.BERNSTEIN_VAZIRANI: ALGORITHM,
    JobType.HIDDEN_SHIFT: {**ALGORITHM, "min_qubits": 2},
    JobType.PHASE_ESTIMATION: ALGORITHM,
    JobType.QUANTUM_FOURIER_TRANSFORM: ALGORITHM,
    JobType.EPLG: {"num_qubits_in_chain": 4, "lengths": [2, 4, 8], "num_samples": 2, "shots": 200},
    JobType.LR_QAOA: {
        "graph_type": "1D",
        "num_qubits": 3,
        "qaoa_layers": [3, 4],
        "trials": 3,
        "num_random_trials": 10,
        "shots": 200,
    },
    JobType.QAT_OLE: {"qasm": QASM, "observable_qubits": [0], "num_initial_states": 4, "shots": 200},
}
WORDS = {
    JobType.WIT: ("ideal", "outcome"),
    JobType.QML_KERNEL: ("ideal", "outcome"),
    JobType.BSEQ: ("measured pairs violate the CHSH inequality", "classical limit 2"),
    JobType.CLOPS: ("time per layer and shot", "layers per second"),
    JobType.MIRROR_CIRCUITS: ("polarisation", "two-qubit gates of the circuit (3 qubits)", "threshold 1/e"),
    JobType.QUANTUM_VOLUME: ("heavy-output probability", "threshold 2/3", "mean "),
    JobType.BERNSTEIN_VAZIRANI: ("normalised fidelity", "qubits"),
    JobType.HIDDEN_SHIFT: ("normalised fidelity", "qubits"),
    JobType.PHASE_ESTIMATION: ("normalised fidelity", "qubits"),
    JobType.QUANTUM_FOURIER_TRANSFORM: ("normalised fidelity", "qubits"),
    JobType.EPLG: ("error per layered gate", "qubits in the chain"),
    JobType.LR_QAOA: ("QAOA layers", "random guessing"),
    JobType.QAT_OLE: ("initial state", "mean without noise"),
}
NOISE = 0.2
"""So many of the shots are replaced by random ones."""


def noisy(circuits: Sequence[QuantumCircuit], shots: int) -> list[dict[str, int]]:
    rng = np.random.default_rng(1)
    found = []
    for counts in simulate(circuits, shots):
        bits = len(next(iter(counts)))
        kept = {outcome: count - int(NOISE * count) for outcome, count in counts.items()}
        for value in rng.integers(2**bits, size=shots - sum(kept.values())).tolist():
            outcome = format(value, f"0{bits}b")
            kept[outcome] = kept.get(outcome, 0) + 1
        found.append(kept)
    return found


def ran(name: JobType, num_qubits: int = 7, graph: rx.PyGraph | None = None) -> tuple[Job, list[Task]]:
    """A job of a benchmark that has run on a noisy device, and its tasks."""
    config, _ = validate({"benchmark_name": str(name), **CONFIGS[name]})
    kind = benchmarks.load(name)
    device = RecordingDevice(num_qubits, graph)
    data = kind.from_config(config, 1).dispatch_handler(device).model_dump(mode="json")
    tasks = [task(noisy(circuits, shots), run=run, shots=shots) for run, (circuits, shots) in enumerate(device.runs)]
    runs = [len(circuits) for circuits, _ in device.runs]
    shares = [Share(each.run, each.first, each.counts or b"", each.execution_seconds) for each in tasks]
    gates = [sum(len(each.qubits) == 2 and each.name != "barrier" for each in c.data) for c in device.circuits]
    changes = {"config": config, "seed": 1, "data": data, "runs": runs, "transpiled_two_qubit_gate_counts": gates}
    result = score(config, 1, data, runs, shares)
    return ended_job(benchmark_name=str(name), result=result, **changes), tasks


def task(counts: list[dict[str, int]], *, run: int = 0, shots: int = 100) -> Task:
    return Task(
        id=f"j:{run}",
        job_id="j",
        provider="local",
        device="d",
        state=TaskState.COMPLETED,
        run=run,
        first=0,
        circuit_count=len(counts),
        shots=shots,
        seed=0,
        counts=pack_counts(counts),
        execution_seconds=0.5,
    )


def bars(figure: Any) -> list[float]:
    return [bar.get_height() for bar in figure.axes[0].patches]


def errors(axes: Any) -> list[np.ndarray]:
    """The vertical extent of each error bar."""
    return [
        segment[:, 1]
        for container in axes.containers
        if type(container).__name__ == "ErrorbarContainer" and container.has_yerr
        for segment in container.lines[2][0].get_segments()
    ]


def values(axes: Any) -> list[float]:
    return [y for each in axes.containers if hasattr(each, "has_yerr") for y in each.lines[0].get_ydata().tolist()]


@pytest.mark.slow
@pytest.mark.parametrize("name", JobType)
def test_each_benchmark_has_a_picture_that_says_what_it_says(name: JobType, tmp_path: Path) -> None:
    figure = plots.of_job(*ran(name))
    path = tmp_path / "picture.svg"
    plots.save(figure, path)
    text = " ".join(ET.parse(path).getroot().itertext())
    for words in (*WORDS[name], str(name)):
        assert words in text
    assert name is JobType.CLOPS or any(errors(axes) for axes in figure.axes)
    plots.save(plots.of_job(*ran(name)), tmp_path / "again.svg")
    assert path.read_bytes() == (tmp_path / "again.svg").read_bytes()


def test_each_trial_of_quantum_volume_has_its_own_frequency_and_their_mean_is_the_score() -> None:
    job, tasks = ran(JobType.QUANTUM_VOLUME)
    assert job.result is not None
    figure = plots.of_job(job, tasks)
    assert len(values(figure.axes[0])) == len(errors(figure.axes[0])) == 5
    assert np.mean(values(figure.axes[0])) == pytest.approx(job.result["hog_prob"]["value"])


def test_mirror_circuits_are_drawn_against_their_depth_and_their_mean_is_the_score() -> None:
    job, tasks = ran(JobType.MIRROR_CIRCUITS)
    assert job.result is not None
    axes: Any = plots.of_job(job, tasks).axes[0]
    (container,) = [each for each in axes.containers if hasattr(each, "has_yerr")]
    assert container.lines[0].get_xdata().tolist() == job.transpiled_two_qubit_gate_counts
    assert np.mean(values(axes)) == pytest.approx(job.result["polarization"]["value"])


def test_pairs_that_violate_the_inequality_stand_out() -> None:
    job, tasks = ran(JobType.BSEQ, 4, rx.generators.path_graph(4))
    graph, sums = plots.of_job(job, tasks).axes
    bseq: Any = BSEQ.from_config(job.config)
    found = bseq.chsh(BSEQData.model_validate(job.data), _results(job, tasks))
    thick = [line for line in graph.lines if line.get_linewidth() == 3]
    assert len(thick) == sum(each.value > 2 for each in found.values())
    assert sorted(values(sums)) == pytest.approx(sorted(each.value for each in found.values()))


def _results(job: Job, tasks: list[Task]) -> Any:
    return regroup(job.runs, [Share(each.run, each.first, each.counts or b"", None) for each in tasks])


def test_the_error_of_a_chsh_sum_is_how_much_it_scatters() -> None:
    rng = np.random.default_rng(3)
    sums, errors_of = [], []
    for _ in range(400):
        counts = [
            {key: int(n) for key, n in zip(("00", "01", "10", "11"), rng.multinomial(200, chances), strict=True) if n}
            for chances in ([0.4, 0.1, 0.1, 0.4],) * 4
        ]
        sums.append(chsh_values(counts)[0])
        errors_of.append(chsh_errors(counts)[0])
    assert np.mean(errors_of) == pytest.approx(np.std(sums), rel=0.15)


def test_a_layer_takes_the_task_s_time_divided_by_its_layers() -> None:
    job, tasks = ran(JobType.CLOPS)
    assert bars(plots.of_job(job, tasks)) == pytest.approx([1e6 * 0.5 / (4 * 5 * 50)])
    with pytest.raises(Permanent, match="no time"):
        plots.of_job(job, [each.model_copy(update={"execution_seconds": None}) for each in tasks])


def test_rare_outcomes_share_a_bar_and_all_frequencies_add_up() -> None:
    counts = {format(n, "08b"): 1 + n for n in range(100)}
    figure = plots.counts(ended_job(benchmark_name="CLOPS", runs=[1]), [task([counts])])
    assert len(bars(figure)) == 33
    assert sum(bars(figure)) == pytest.approx(1)
    assert figure.axes[0].get_xticklabels()[-1].get_text() == "68 others"


def test_one_circuit_s_counts_are_drawn_with_the_ideal_beside_and_never_pooled() -> None:
    job, tasks = ran(JobType.MIRROR_CIRCUITS)
    figure = plots.of_job(job, tasks, 2)
    measured, ideal = figure.axes[0].patches[:8], figure.axes[0].patches[8:]
    assert sum(bar.get_height() for bar in measured) == pytest.approx(1)  # type: ignore[attr-defined]
    assert sorted(bar.get_height() for bar in ideal) == [0.0] * 7 + [1.0]  # type: ignore[attr-defined]
    assert "circuit 2 of 4" in figure.axes[0].get_title("left")
    assert "200 shots" in figure.axes[0].get_xlabel()
    for beyond in (0, 5):
        with pytest.raises(NotFound, match="there are 4, the first is 1"):
            plots.of_job(job, tasks, beyond)


@pytest.mark.parametrize(
    "name",
    [
        JobType.QML_KERNEL,
        JobType.MIRROR_CIRCUITS,
        JobType.QUANTUM_VOLUME,
        JobType.BERNSTEIN_VAZIRANI,
        JobType.HIDDEN_SHIFT,
        JobType.QUANTUM_FOURIER_TRANSFORM,
        JobType.PHASE_ESTIMATION,
        JobType.BSEQ,
        JobType.CLOPS,
        JobType.EPLG,
        JobType.LR_QAOA,
        JobType.QAT_OLE,
    ],
)
def test_ideal_counts_are_those_of_a_simulation(name: JobType) -> None:
    config, _ = validate({"benchmark_name": str(name), **CONFIGS[name]})
    benchmark, device = benchmarks.load(name).from_config(config, 1), RecordingDevice(7)
    data = benchmark.dispatch_handler(device)
    for position, circuit in enumerate(device.circuits[:4]):
        shots = 4000
        (counts,) = simulate([circuit], shots)
        ideal = benchmark.ideal_counts(data, position)
        assert ideal is not None
        assert sum(ideal.values()) == pytest.approx(1)
        for outcome in counts.keys() | ideal.keys():
            chance = ideal.get(outcome, 0.0)
            error = 6 * (chance * (1 - chance) / shots) ** 0.5 + 1e-9
            assert counts.get(outcome, 0) / shots == pytest.approx(chance, abs=error)


def test_the_ideal_of_wit_is_exact() -> None:
    circuit = wit_circuit(7)
    circuit.remove_final_measurements()
    assert Statevector(circuit).probabilities([5])[1] == pytest.approx(IDEAL, abs=1e-7)


def test_what_has_only_a_record_is_drawn_without_errors(tmp_path: Path) -> None:
    eplg = {"chain_lengths": [4, 5, 6], "chain_eplgs": [0.01, 0.012, 0.011], "eplg_10": None}
    lr_qaoa = {"approx_ratio": [0.6, 0.7], "random_approx_ratio": 0.5, "effective_approx_ratio": [0.2, 0.4]}
    pictures = [
        plots.of_job(ended_job(benchmark_name="EPLG", result=eplg), []),
        plots.of_job(ended_job(benchmark_name="Linear Ramp QAOA", result=lr_qaoa, config={"qaoa_layers": [3, 5]}), []),
    ]
    assert [errors(figure.axes[0]) for figure in pictures] == [[], []]


def test_a_suite_has_a_bar_or_a_reason_for_each_job(tmp_path: Path) -> None:
    jobs = [ended_job("s.001-a", suite_id="s"), failed_job("s.002-b", suite_id="s", outcome="unsupported")]
    plots.save(plots.of_suite(jobs), tmp_path / "suite.svg")
    assert "unsupported" in (tmp_path / "suite.svg").read_text()


def test_each_benchmark_has_a_panel_of_its_own_over_time() -> None:
    others = [ended_job("a"), ended_job("b", device="other"), ended_job("c", benchmark_name="EPLG")]
    figure = plots.over_time(others, "score")
    assert [axes.get_title("left") for axes in figure.axes] == ["EPLG", "WIT"]
    assert labels(figure) == [["tyxonq/homebrew_s2"], ["tyxonq/homebrew_s2", "tyxonq/other"]]


def test_only_the_comparable_is_joined_over_time() -> None:
    six = {"benchmark_name": "WIT", "num_qubits": 6, "shots": 8192}
    more = {"benchmark_name": "WIT", "num_qubits": 7, "shots": 100_000}
    figure = plots.over_time([ended_job("a"), ended_job("b", config=six), ended_job("c", config=more)], "score")
    assert labels(figure) == [["tyxonq/homebrew_s2, num_qubits 6", "tyxonq/homebrew_s2, num_qubits 7"]]
    (axes,) = figure.axes
    drawn: Any = axes.containers
    assert [len(each.lines[0].get_ydata()) for each in drawn] == [1, 2]


def labels(figure: Any) -> list[list[str]]:
    return [[text.get_text() for text in axes.get_legend().get_texts()] for axes in figure.axes]


def test_a_trend_is_drawn_with_its_shift_and_with_calibrated_numbers_beside_it() -> None:
    begin = datetime(2026, 1, 1, tzinfo=UTC)
    nights = [
        ended_job(
            f"n{night}",
            dispatch_time=begin + timedelta(days=night),
            result={"score": {"value": 0.9 + 0.002 * (night % 3) - (0.2 if night > 30 else 0), "uncertainty": 0.001}},
        )
        for night in range(34)
    ]
    kept = [CalibrationPoint(at=begin, metadata={"t1_us": 50.0})]
    figure = plots.of_trends([*histories(nights, "score"), *calibrated("tyxonq", "homebrew_s2", kept)])
    assert [(axes.get_title("left"), axes.get_ylabel()) for axes in figure.axes] == [
        ("WIT", "score"),
        ("calibration", "t1_us"),
    ]
    scores, calibration = figure.axes
    (shift,) = [line for line in scores.lines if line.get_linestyle() == "--"]
    drawn: Any = shift.get_xdata()
    assert list(drawn) == [begin + timedelta(days=31)] * 2
    assert not [line for line in calibration.lines if line.get_linestyle() == "--"]


def test_what_cannot_be_drawn_says_why(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no counts"):
        plots.of_job(ended_job(), [])
    with pytest.raises(Permanent, match="'beauty'"):
        plots.over_time([ended_job()], "beauty")
    figure = plots.over_time([ended_job()], "score")
    with pytest.raises(Permanent, match="cannot write"):
        plots.save(figure, tmp_path / "none" / "picture.png")
