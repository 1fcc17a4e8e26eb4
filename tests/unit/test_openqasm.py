"""OpenQASM 3 from anybody: good circuits are read exactly, bad ones refused quickly and by name."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from qiskit import QuantumCircuit
from qiskit.quantum_info import Operator

from metriq_gym.benchmarks.openqasm import MAX_OPERATIONS, MAX_STATEMENTS, read_circuit, read_measured_circuit
from metriq_gym.errors import Unsupported

HEADER = 'OPENQASM 3.0; include "stdgates.inc"; '


def test_a_circuit_of_gates_is_read_exactly() -> None:
    circuit = read_circuit(
        HEADER + "gate twice(t) a, b { rx(2*t) a; cz a, b; } qubit[2] q; qubit r;\n"
        "h q; rz(-pi/8 + 0.5) r; inv @ twice(0.3) q[1], r; barrier q; gphase(pi/2);",
        max_qubits=3,
    )
    expected = QuantumCircuit(3)
    expected.h([0, 1])
    expected.rz(-np.pi / 8 + 0.5, 2)
    expected.cz(1, 2)
    expected.rx(-0.6, 1)
    assert Operator(circuit).equiv(Operator(expected))


@pytest.mark.parametrize(
    "measured",
    [
        "bit[2] c; h q; cx q[0], q[1]; c = measure q;",
        "bit a; h q; cx q[0], q[1]; barrier q; a = measure q[0]; measure q[1];",
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_measurements_at_the_end_are_left_to_the_benchmark(measured: str, end: str) -> None:
    circuit = read_circuit("\ufeff" + (HEADER + f"qubit[2] q; {measured}").replace("; ", f";{end}"), max_qubits=2)
    expected = QuantumCircuit(2)
    expected.h([0, 1])
    expected.cx(0, 1)
    circuit.data = [each for each in circuit.data if each.operation.name != "barrier"]
    assert not circuit.clbits
    assert Operator(circuit).equiv(Operator(expected))


def test_physical_qubits_can_be_named() -> None:
    assert read_circuit(HEADER + "h $3; cx $0, $5;", max_qubits=6).num_qubits == 6


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("", "is empty"),
        ("\ufeff \r\n", "is empty"),
        ("\x00", r"cannot be parsed: .* \(line 1, column 1\)"),
        ("garbage ((((", "cannot be parsed"),
        (HEADER + "qubit q;\nh q\nx q;", r"cannot be parsed: 'x' is not expected \(line 3, column 1\)"),
        ("OPENQASM 3.0;\nqubit[2] q;\n\tcx q[0], q[1];", r"'cx' is not defined \(line 3, column 2\): .*stdgates.inc"),
        ("qubit q;\ngate twice a { x a; x a; }\ntwice q;", r"'x' is not defined \(line 2, .*stdgates.inc"),
        ("// old\nOPENQASM 2.0; qreg q[2]; h q[0];", r"an OpenQASM 2.0 program \(line 2\), and OpenQASM 3 is wanted"),
        ('OPENQASM 3; include "/etc/passwd"; qubit q;', "Include is not supported"),
        ('OPENQASM 3; include "https://example.org/gates.inc";', "Include is not supported"),
        (HEADER + "qubit q; int c; h q;", "ClassicalDeclaration is not supported"),
        (HEADER + "qubit q;\nmeasure q;\nh q;", r"measures before its end: a gate follows \(line 3\)"),
        (HEADER + "qubit q; bit c = measure q; reset q;", "measures before its end"),
        (HEADER + "qubit q; reset q;", "QuantumReset is not supported"),
        (HEADER + "qubit q; while (true) { h q; }", "WhileLoop is not supported"),
        (HEADER + "qubit q; for int i in [0:1000000000000] { h q; }", "ForInLoop is not supported"),
        (HEADER + "def f(qubit q) { h q; } qubit q; f(q);", "SubroutineDefinition is not supported"),
        (HEADER + "qubit[1000000000] q; h q;", "has 1000000000 qubits and the device 10"),
        (HEADER + "qubit[6] q; qubit[5] r;", "has 11 qubits and the device 10"),
        (HEADER + "const int n = 3; qubit[n] q;", "ConstantDeclaration is not supported"),
        (HEADER + "h $10;", "has no qubit \\$10 "),
        (HEADER + f"h ${'9' * 5000};", "has no qubit \\$999999999 "),
        (HEADER + "qubit[3] q;\nh q[5];", r"names q\[5\] \(line 2\), and q has 3 qubits"),
        (HEADER + "qubit[3] q; h q[0:1];", "index other than a number"),
        (HEADER + "qubit[2] q; cx q[1], q[1];", "duplicate"),
        (HEADER + "qubit q;\nnosuch q;", r"'nosuch' is not defined \(line 2, column 1\)$"),
        (HEADER + "qubit q; gate a b { a b; } a q;", "'a' is not defined"),
        (HEADER + "qubit q; rx(2**99999999999) q;", "BinaryExpression is not supported"),
        (HEADER + "qubit q; rx(1/0) q;", "zero"),
        (HEADER + "qubit q; rx(1e400) q;", "angle that is not finite"),
        (HEADER + "qubit q; pow(1e300) @ x q;", "gate modifier 'pow'"),
        (HEADER + "qubit[9] q; ctrl(8) @ x q;", "gate modifier 'ctrl'"),
        (HEADER + "input float t; qubit q; rx(t) q;", "IODeclaration is not supported"),
        (HEADER + "qubit q; rx(" + "(" * 1500 + "1" + ")" * 1500 + ") q;", "cannot be parsed"),
        (";" * (MAX_STATEMENTS + 1), f"more than {MAX_STATEMENTS} statements"),
    ],
    ids=lambda text: text[-30:] if isinstance(text, str) else None,
)
def test_anything_else_is_refused_and_not_computed(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        read_circuit(source, max_qubits=10)


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ('OPENQASM 3.0;\ninclude "qelib1.inc";\nqreg q[1]; h q[0];', r"qelib1.inc.*\(line 2\).*version 2.0's"),
        ('include "qelib1.inc";\nqreg q[1]; h q[0];', r"read as version 3 .*let it begin with OPENQASM 2.0;"),
        ("OPENQASM 2.0;\nqreg q[1]; creg c[1];\nh q[0];", r"'h' is not defined .*\(line 3, .*include \"qelib1.inc\""),
        ("OPENQASM 2.0;\nqubit[2] q;\nbit[2] c;\nc = measure q;", r"read as version 2.0 and has 'qubit' \(line 2\)"),
        ("OPENQASM 4.0;\nqubit[2] q;\nbit[2] c;\nc = measure q;", r"is of OpenQASM 4.0; versions 2 and 3 are read"),
        ("OPENQASM 1;\nqubit[2] q;\nbit[2] c;\nc = measure q;", r"is of OpenQASM 1; versions 2 and 3 are read"),
    ],
)
def test_a_program_of_the_other_version_than_it_begins_with_is_told_so(source: str, reason: str) -> None:
    with pytest.raises(Unsupported, match=reason):
        read_measured_circuit(source, 5)


def test_gates_within_gates_are_counted_before_they_are_written_out() -> None:
    doubling = "".join(f"gate g{i} a {{ g{i - 1} a; g{i - 1} a; }} " for i in range(1, 70))
    with pytest.raises(Unsupported, match=f"more than {MAX_OPERATIONS} gates"):
        read_circuit(HEADER + "qubit q; gate g0 a { x a; } " + doubling + "g69 q;", max_qubits=1)


def test_gates_on_whole_registers_count_for_every_qubit() -> None:
    with pytest.raises(Unsupported, match=f"more than {MAX_OPERATIONS} gates"):
        read_circuit(HEADER + "qubit[10000] q; " + "h q; " * 11, max_qubits=10_000)


TOKENS = (
    "OPENQASM 3; include qubit[2] q q[0] q[9] h cx rx (pi/2) ( ) { } ; , gate a @ inv ctrl pow -1 2.5 1e99 $0 "
    'measure reset let bit if while = "stdgates.inc" // /* barrier gphase U'
)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.sampled_from(TOKENS.split()), max_size=30))
def test_any_text_is_read_or_refused(tokens: list[str]) -> None:
    source = HEADER + " ".join(tokens)
    try:
        circuit = read_circuit(source, max_qubits=4)
    except Unsupported:
        return
    assert circuit.num_clbits == 0
    assert circuit.num_qubits <= 4


@pytest.mark.parametrize("source", ["\x1b[2J", HEADER + "qubit q; rz(" + "(" * 1000, '{"level": "error"}\n' * 3])
def test_nothing_of_a_program_is_printed(source: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(Unsupported):
        read_circuit(source, max_qubits=10)
    assert capfd.readouterr() == ("", "")
