"""Read circuits from OpenQASM 3 of unknown origin: gates only, and of bounded size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from math import isfinite

from openqasm3 import ast, parse
from qiskit import QuantumCircuit
from qiskit_qasm3_import import convert

from metriq_gym.errors import Unsupported
from metriq_gym.wording import printable

MAX_OPERATIONS = 100_000
"""Gates a program may apply, those within its own gates and for each qubit of a register included."""

MAX_STATEMENTS = 50_000
"""Parsing so many takes about a quarter of a minute."""

MAX_DIGITS = 10

_ARITHMETIC = tuple(ast.BinaryOperator[symbol] for symbol in "+-*/")


def read_circuit(source: str, max_qubits: int) -> QuantumCircuit:
    """Return the circuit of an OpenQASM 3 program.

    The program may declare qubits, define gates and apply them, and include nothing but ``stdgates.inc``.
    What could run or grow without bound is refused before it is executed. Nothing is ever opened or fetched.
    Raises `Unsupported` with the reason.
    """
    if source.count(";") > MAX_STATEMENTS:
        raise Unsupported(f"the OpenQASM 3 program has more than {MAX_STATEMENTS} statements")
    # The parser also prints what it stumbles over, which would end up between the lines of a service's log.
    with _reporting("parsed"), redirect_stderr(StringIO()):
        program = parse(source)
    _Inspection(max_qubits).program(program)
    with _reporting("converted"):
        circuit = convert(program)
    for instruction in circuit.data:
        for angle in instruction.operation.params:
            if isinstance(angle, float) and not isfinite(angle):
                raise Unsupported(f"gate {instruction.operation.name!r} has an angle that is not finite")
    return circuit


@contextmanager
def _reporting(done: str) -> Iterator[None]:
    try:
        yield
    # The parser and the converter raise whatever malformed text makes them trip over.
    except Exception as error:
        reason = printable(str(error)[:200]) or type(error).__name__
        raise Unsupported(f"the OpenQASM 3 program cannot be {done}: {reason}") from error


class _Inspection:
    """Goes through a program and adds up what it would take to execute it."""

    def __init__(self, max_qubits: int) -> None:
        self._max_qubits = max_qubits
        self._num_qubits = 0
        self._register_sizes: dict[str, int] = {}
        self._gate_sizes: dict[str, int] = {}

    def program(self, program: ast.Program) -> None:
        operations = 0
        for statement in program.statements:
            match statement:
                case ast.Include(filename="stdgates.inc"):
                    pass
                case ast.QubitDeclaration(qubit=ast.Identifier(name=name), size=None):
                    self._declare(name, 1)
                case ast.QubitDeclaration(qubit=ast.Identifier(name=name), size=ast.IntegerLiteral(value=size)):
                    self._declare(name, size)
                case ast.QuantumGateDefinition(name=ast.Identifier(name=name)):
                    self._gate_sizes[name] = _bounded(sum(map(self._operations, statement.body)))
                case _:
                    operations = _bounded(operations + self._operations(statement))

    def _declare(self, register: str, size: int) -> None:
        self._register_sizes[register] = size
        self._num_qubits += size
        if self._num_qubits > self._max_qubits:
            raise Unsupported(f"the OpenQASM 3 program has {self._num_qubits} qubits and the device {self._max_qubits}")

    def _operations(self, statement: ast.Statement | ast.QuantumStatement) -> int:
        """Return how many gates a statement applies once everything is written out."""
        match statement:
            case ast.QuantumBarrier():
                return 1
            case ast.QuantumPhase(argument=argument, modifiers=[]):
                _check_arithmetic(argument)
                return 1
            case ast.QuantumGate():
                for modifier in statement.modifiers:
                    if modifier.modifier is not ast.GateModifierName.inv:
                        raise _refusal(f"gate modifier {modifier.modifier.name!r}", modifier)
                for argument in statement.arguments:
                    _check_arithmetic(argument)
                width = max((self._width(operand) for operand in statement.qubits), default=1)
                return width * self._gate_sizes.get(statement.name.name, 1)
            case _:
                raise _refusal(type(statement).__name__, statement)

    def _width(self, operand: ast.IndexedIdentifier | ast.Identifier) -> int:
        match operand:
            case ast.IndexedIdentifier(indices=[[ast.IntegerLiteral()]]):
                return 1
            case ast.Identifier(name=name) if name.startswith("$"):
                if len(name) > MAX_DIGITS or int(name[1:]) >= self._max_qubits:
                    raise Unsupported(f"the device has no qubit {name[:MAX_DIGITS]} but {self._max_qubits} qubits")
                return 1
            case ast.Identifier(name=name):
                return self._register_sizes.get(name, 1)
            case _:
                raise _refusal("an index other than a number", operand)


def _bounded(operations: int) -> int:
    if operations > MAX_OPERATIONS:
        raise Unsupported(f"the OpenQASM 3 program applies more than {MAX_OPERATIONS} gates")
    return operations


def _check_arithmetic(root: ast.Expression) -> None:
    """Refuse what can make a number of enormous size out of little text."""
    pending = [root]
    while pending:
        match pending.pop():
            case ast.IntegerLiteral() | ast.FloatLiteral() | ast.Identifier():
                pass
            case ast.UnaryExpression(expression=inner):
                pending.append(inner)
            case ast.BinaryExpression(lhs=left, rhs=right, op=operator) if operator in _ARITHMETIC:
                pending += [left, right]
            case other:
                raise _refusal(type(other).__name__, other)


def _refusal(what: str, node: ast.QASMNode) -> Unsupported:
    line = f" (line {node.span.start_line})" if node.span else ""
    return Unsupported(f"{what} is not supported in the OpenQASM 3 program{line}: only qubits and gates are")
