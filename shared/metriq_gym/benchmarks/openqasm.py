"""Read circuits from OpenQASM 2 and 3 of unknown origin: gates, measurements where wanted, and of bounded size."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from math import isfinite

from openqasm3 import ast, parse
from openqasm3.parser import QASM3ParsingError
from qiskit import QuantumCircuit, qasm2
from qiskit_qasm3_import import convert

from metriq_gym.errors import Unsupported, want_of_means
from metriq_gym.wording import printable, shorten

MAX_OPERATIONS = 100_000
"""Gates a program may apply, those within its own gates and for each qubit of a register included."""

MAX_STATEMENTS = 50_000
"""Parsing so many takes about a quarter of a minute."""

MAX_DIGITS = 10

MAX_BITS = 1000
"""Classical bits that a circuit may have."""
_VERSIONS = ("2", "3")
_VERSION_2 = re.compile(r"(?:\s|//[^\n]*\n|/\*.*?\*/)*OPENQASM\s+(?P<version>2(?:\.\d+)?)\s*;", re.DOTALL)
_OF_3 = re.compile(r'(?:^|;)\s*(?P<what>(?:qubit|bit)\b|include\s+"stdgates\.inc")', re.MULTILINE)
_OF_2 = re.compile(r'(?:^|;)\s*(?P<what>include\s+"qelib1\.inc")', re.MULTILINE)
_CREG = re.compile(r"(?:^|;)\s*creg\b", re.MULTILINE)
_TARGET = re.compile(r"->\s*([a-z]\w*)\s*\[\s*(\d{1,4})\s*\]")
_PLACE = re.compile(r"""(?P<version_2>"<input>:)?(?:L|line )?(?P<line>\d+)[,:]C?(?P<column>\d+):? (?P<words>[^\n"]+)""")
"""How the parsers and converters of both versions begin what they say; the first column is 0."""
_STANDARD = re.compile(
    r"(?:gate )?'(?:p|[xyzhst]|sdg|tdg|sx|r[xyz]|c[xyzphu]|cr[xyz]|swap|c?cx|cswap|u[123]|id)' is not defined"
)
_ARITHMETIC = tuple(ast.BinaryOperator[symbol] for symbol in "+-*/")


def read_circuit(source: str, max_qubits: int) -> QuantumCircuit:
    """Return the circuit of an OpenQASM 3 program, without the measurements that it may end with.

    The program may declare qubits, define gates and apply them, and include nothing but ``stdgates.inc``.
    What could run or grow without bound is refused before it is executed. Nothing is ever opened or fetched.
    Raises `Unsupported` with the reason.
    """
    source = _plain(source)
    if (older := _VERSION_2.match(source)) is not None:
        line = source.count("\n", 0, older.start("version")) + 1
        raise Unsupported(
            f"the circuit is an OpenQASM {older['version']} program (line {line}), and OpenQASM 3 is wanted; "
            "qiskit.qasm2.load and qiskit.qasm3.dump convert it"
        )
    _check_version(source, is_2=False)
    program = _parsed(source)
    program.statements = _without_measurements(program.statements)
    _Inspection(max_qubits).program(program)
    with _reporting("converted"):
        circuit = convert(program)
    return _finite(circuit)


def read_measured_circuit(source: str, max_qubits: int) -> QuantumCircuit:
    """Return the circuit of an OpenQASM 2 or 3 program that may measure as well, its classical bits in one row.

    As `read_circuit` otherwise. The version stands in the program's first line, and is 3 where it does not. A program
    of version 2 that measures into registers and declares none, as the sample of TyxonQ's page, gets them.
    """
    source = _plain(source)
    is_2 = _VERSION_2.match(source) is not None
    _check_version(source, is_2=is_2)
    if is_2:
        source = _with_registers(source)
    program = _parsed(source)
    _Inspection(max_qubits, measures=True, library="qelib1.inc" if is_2 else None).program(program)
    with _reporting("converted"):
        # What was inspected includes nothing but the library that Qiskit knows by heart.
        circuit = qasm2.loads(source, include_path=()) if is_2 else convert(program)
    if not any(instruction.clbits for instruction in circuit.data):
        raise Unsupported("the circuit measures nothing, so there would be nothing to count")
    in_a_row = QuantumCircuit(circuit.num_qubits, circuit.num_clbits)
    in_a_row.compose(circuit, range(circuit.num_qubits), range(circuit.num_clbits), inplace=True)
    return _finite(in_a_row)


def _check_version(source: str, *, is_2: bool) -> None:
    """Raise `Unsupported` for a program that has what only the other version has."""
    found = (_OF_3 if is_2 else _OF_2).search(source)
    if found is not None:
        line = source.count("\n", 0, found.start("what")) + 1
        own, other = ("2.0", "3.0") if is_2 else ("3", "2.0")
        raise Unsupported(
            f"the OpenQASM program is read as version {own} and has {found['what']!r} (line {line}), "
            f"which is version {other}'s: let it begin with OPENQASM {other};"
        )


def _with_registers(source: str) -> str:
    """Return the program with the classical registers that it measures into, if it declares none."""
    sizes: dict[str, int] = {}
    for name, index in _TARGET.findall(source):
        sizes[name] = max(sizes.get(name, 0), int(index) + 1)
    if _CREG.search(source) or not sizes:
        return source
    head = _VERSION_2.match(source)
    assert head is not None  # noqa: S101  (version 2 was told by it)
    declared = " ".join(f"creg {name}[{size}];" for name, size in sizes.items())
    return f"{source[: head.end()]} {declared}{source[head.end() :]}"


def _plain(source: str) -> str:
    """Return the text without what editors put into it: a byte-order mark, and other ends of lines."""
    return source.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")


def _parsed(source: str) -> ast.Program:
    if not source.strip():
        raise Unsupported("the OpenQASM program is empty")
    if source.count(";") > MAX_STATEMENTS:
        raise Unsupported(f"the OpenQASM program has more than {MAX_STATEMENTS} statements")
    # The parser also prints what it stumbles over, which would end up between the lines of a service's log.
    with _reporting("parsed"), redirect_stderr(StringIO()):
        try:
            program = parse(source)
        except QASM3ParsingError as error:
            if (place := _unexpected(error)) is None:
                raise
            raise Unsupported(f"the OpenQASM program cannot be parsed: {place}") from error
    if program.version is not None and program.version.partition(".")[0] not in _VERSIONS:
        raise Unsupported(f"the program is of OpenQASM {shorten(program.version)}; versions 2 and 3 are read")
    return program


def _unexpected(error: QASM3ParsingError) -> str | None:
    """Return what the parser stumbled over, and where; its error says neither, but the one below it knows."""
    reasons = error.__cause__.args if error.__cause__ is not None else ()
    token = next((reason.offendingToken for reason in reasons if hasattr(reason, "offendingToken")), None)
    if token is None:
        return None
    return f"{printable(token.text[:50])!r} is not expected (line {token.line}, column {token.column + 1})"


def _finite(circuit: QuantumCircuit) -> QuantumCircuit:
    for instruction in circuit.data:
        for angle in instruction.operation.params:
            if isinstance(angle, float) and not isfinite(angle):
                raise Unsupported(f"gate {instruction.operation.name!r} has an angle that is not finite")
    return circuit


def _without_measurements(statements: list[ast.Statement]) -> list[ast.Statement]:
    """Return what is left without classical bits and the measurements at the end; raises `Unsupported` for others."""
    measured: ast.Statement | None = None
    kept = []
    for statement in statements:
        match statement:
            case ast.ClassicalDeclaration(type=ast.BitType(), init_expression=None | ast.QuantumMeasurement() as value):
                measured = statement if value is not None else measured
            case ast.QuantumMeasurementStatement():
                measured = statement
            case ast.QuantumBarrier() if measured is not None:
                pass
            case _ if measured is not None and isinstance(statement, (ast.QuantumGate, ast.QuantumReset)):
                line = f" (line {statement.span.start_line})" if statement.span else ""
                raise Unsupported(f"the OpenQASM 3 program measures before its end: a gate follows{line}")
            case _:
                kept.append(statement)
    return kept


@contextmanager
def _reporting(done: str) -> Iterator[None]:
    try:
        yield
    except Unsupported:
        raise
    # The parser and the converter raise whatever malformed text makes them trip over.
    except Exception as error:
        if want_of_means(error) is not None:
            raise  # which is no fault of the text
        found = _PLACE.match(str(error))
        reason = _placed(found) if found else printable(str(error)[:200]) or type(error).__name__
        raise Unsupported(f"the OpenQASM program cannot be {done}: {reason}") from error


def _placed(found: re.Match[str]) -> str:
    """Return a message of the parser or the converter with its place in words, and what a missing gate is a gate of."""
    words = printable(found["words"].rstrip(".")[:200])
    library = "qelib1.inc" if found["version_2"] else "stdgates.inc"
    hint = f': the program does not have include "{library}";' if _STANDARD.match(words) else ""
    return f"{words} (line {found['line']}, column {int(found['column']) + 1}){hint}"


class _Inspection:
    """Goes through a program and adds up what it would take to execute it."""

    def __init__(self, max_qubits: int, *, measures: bool = False, library: str | None = None) -> None:
        self._max_qubits = max_qubits
        self._measures = measures
        self._library = library or "stdgates.inc"
        self._num_bits = 0
        self._num_qubits = 0
        self._register_sizes: dict[str, int] = {}
        self._gate_sizes: dict[str, int] = {}

    def program(self, program: ast.Program) -> None:
        operations = 0
        for statement in program.statements:
            match statement:
                case ast.Include(filename=library) if library == self._library:
                    pass
                case ast.ClassicalDeclaration(type=ast.BitType(), init_expression=None) if self._measures:
                    self._declare_bits(statement)
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
            raise Unsupported(f"the OpenQASM program has {self._num_qubits} qubits and the device {self._max_qubits}")

    def _declare_bits(self, declaration: ast.ClassicalDeclaration) -> None:
        match declaration.type.size:
            case None:
                self._num_bits += 1
            case ast.IntegerLiteral(value=size):
                self._num_bits += size
            case other:
                raise _refusal("a size other than a number", other)
        if self._num_bits > MAX_BITS:
            raise Unsupported(f"the OpenQASM program has more than {MAX_BITS} classical bits")

    def _operations(self, statement: ast.Statement | ast.QuantumStatement) -> int:
        """Return how many gates a statement applies once everything is written out."""
        match statement:
            case ast.QuantumBarrier():
                return 1
            case ast.QuantumMeasurementStatement(measure=ast.QuantumMeasurement(qubit=qubit)) if self._measures:
                return self._width(qubit)
            case ast.QuantumReset(qubits=qubit) if self._measures:
                return self._width(qubit)
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
            case ast.IndexedIdentifier(name=ast.Identifier(name=name), indices=[[ast.IntegerLiteral(value=index)]]):
                if index >= (size := self._register_sizes.get(name, index + 1)):
                    line = f" (line {operand.span.start_line})" if operand.span else ""
                    raise Unsupported(f"the OpenQASM program names {name}[{index}]{line}, and {name} has {size} qubits")
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
        raise Unsupported(f"the OpenQASM program applies more than {MAX_OPERATIONS} gates")
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
    return Unsupported(f"{what} is not supported in the OpenQASM program{line}: only qubits and gates are")
