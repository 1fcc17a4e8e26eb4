"""Texts as people have them are read, or refused with what is wrong and where."""

from __future__ import annotations

import codecs
import errno
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metriq_gym import texts
from metriq_gym.bus.identity import read_request
from metriq_gym.bus.port import Delivery
from metriq_gym.client.configurations import NoConfiguration, read_configuration
from metriq_gym.errors import InvalidRequest
from metriq_gym.schema_validator import load_and_validate, load_json_file
from metriq_gym.suite_parser import NoSuite, load_suite

WIT = '{\n "benchmark_name": "WIT",\n "shots": 77\n}\n'
CIRCUIT = "OPENQASM 3.0; qubit[2] q; h q[0];"
ECHO = {"benchmark_name": "QAT OLE", "qasm_path": "echo.qasm", "observable_qubits": [0]}
TWICE = '{"benchmark_name": "WIT",\n "shots": 1,\n "shots": 2}'
AS_SAVED = [
    WIT.encode(),
    codecs.BOM_UTF8 + WIT.encode(),
    WIT.replace("\n", "\r\n").encode(),
    WIT.replace("\n", "\r").encode(),
    WIT.encode("utf-16"),
    codecs.BOM_UTF16_BE + WIT.encode("utf-16-be"),
    WIT.encode("utf-16-le"),
    WIT.encode("utf-16-be"),
    WIT.encode("utf-32"),
    WIT.encode("utf-32-le"),
    WIT.encode("utf-32-be"),
]
NAMES = [
    "utf-8",
    "utf-8 mark",
    "crlf",
    "cr",
    "utf-16",
    "utf-16 be mark",
    "utf-16 le",
    "utf-16 be",
    "utf-32",
    "32 le",
    "32 be",
]


def suite_of(config: dict[str, Any]) -> dict[str, Any]:
    return {"name": "mine", "benchmarks": [{"name": "one", "config": config}]}


@pytest.mark.parametrize("content", AS_SAVED, ids=NAMES)
def test_a_configuration_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "wit.json"
    path.write_bytes(content)
    assert read_configuration(path)["shots"] == 77
    assert load_json_file(path)["shots"] == 77


@pytest.mark.parametrize(("encoding", "newline"), [("utf-8-sig", "\n"), ("utf-16", "\r\n"), ("utf-8", "\r")])
def test_a_suite_is_read_however_it_was_saved(tmp_path: Path, encoding: str, newline: str) -> None:
    path = tmp_path / "suite.json"
    text = json.dumps(suite_of(json.loads(WIT)), indent=1)
    path.write_bytes(text.replace("\n", newline).encode(encoding))
    assert load_suite(path)[0].benchmarks[0].config["shots"] == 77


@pytest.mark.parametrize("content", AS_SAVED, ids=NAMES)
def test_a_request_is_read_however_it_was_sent(content: bytes) -> None:
    read = read_request(Delivery("job.requested", content))
    assert (read.body, read.problem) == (json.loads(WIT), None)


def test_a_key_that_stands_twice_is_named_with_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "twice.json"
    path.write_text(TWICE)
    words = "has the key 'shots' twice in one object, on line 2 and on line 3"
    with pytest.raises(NoConfiguration, match=words):
        read_configuration(path)
    with pytest.raises(json.JSONDecodeError, match=words):
        load_json_file(path)
    read = read_request(Delivery("job.requested", TWICE.encode()))
    assert read.problem is not None
    assert words in read.problem
    path.write_text(json.dumps(suite_of({})).replace("{}", TWICE))
    with pytest.raises(InvalidRequest, match="has the key 'shots' twice"):
        load_suite(path)


@pytest.mark.parametrize("text", ["[]", "null", "7", '"WIT"'])
def test_a_configuration_that_is_no_object_is_refused_by_every_reader(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.json"
    path.write_text(text)
    with pytest.raises(NoConfiguration, match="must hold one JSON object"):
        read_configuration(path)
    for reader in (load_and_validate, load_suite):
        with pytest.raises(InvalidRequest, match=r"\$: must be an object"):
            reader(path)


def test_a_configuration_given_as_a_suite_is_called_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "wit.json"
    path.write_text(WIT)
    with pytest.raises(InvalidRequest, match="the configuration of one benchmark, and no suite"):
        load_suite(path)


def test_a_place_that_is_no_file_is_called_what_it_is(tmp_path: Path) -> None:
    loop = tmp_path / "loop.json"
    loop.symlink_to(loop)
    for path, reason in ((tmp_path, "is a directory"), (loop, "too many levels of symbolic links")):
        with pytest.raises(NoConfiguration, match=reason):
            read_configuration(path)
        with pytest.raises(NoSuite, match=reason):
            load_suite(path)


@pytest.mark.parametrize("read", [read_configuration, load_suite])
def test_a_file_that_may_not_be_read_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, read: Callable[[Path], object]
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(WIT)
    denied = PermissionError(errno.EACCES, "Permission denied", str(path))
    monkeypatch.setattr(Path, "read_bytes", Mock(side_effect=denied))
    with pytest.raises((NoConfiguration, NoSuite), match="permission denied"):
        read(path)


@pytest.mark.parametrize("read", [read_configuration, load_suite])
def test_a_pipe_is_read_as_a_file(read: Callable[[Path], object]) -> None:
    here, there = os.pipe()
    with open(here, "rb"), open(there, "wb") as writer:
        writer.write((WIT if read is read_configuration else json.dumps(suite_of(json.loads(WIT)))).encode())
        writer.close()
        assert read(Path(f"/dev/fd/{here}"))


def test_the_id_of_a_request_with_a_key_twice_is_still_known() -> None:
    read = read_request(Delivery("job.requested", b'{"job_id": "mine", "provider": "a", "provider": "b"}'))
    assert (read.body, read.job_id) == (None, "mine")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is empty"),
        (b" \n", "is empty"),
        (b'{"a": 1,}', r"is not JSON: .* \(line 1, column "),
        (b'{\n"a": }', r"is not JSON: .* \(line 2, column 6\)"),
        (b'{"NaN": 1,\n  "a": NaN}', r"NaN is no JSON number \(line 2, column 8\)"),
        (b'{"a": [1, -Infinity]}', r"-Infinity is no JSON number \(line 1, column 11\)"),
        (b'{"a": "\xe9"}', "is not text in UTF-8: byte 0xe9 at position 7"),
        (b'{"a": 1,\n}', r"is not JSON: a comma with nothing after it \(line 2, column 1\)"),
        (b"{'a': 1}", r"is not JSON: strings stand in double quotes \(line 1, column 2\)"),
        (b'{"a": 1 // one\n}', r"is not JSON: comments are not part of it \(line 1, column 9\)"),
        (b'{"a": 1}\n{}', r"is not JSON: more follows after its end \(line 2, column 1\)"),
        (b'{"a": 1}\0', r"is not JSON: the character U\+0000 \(line 1, column 9\)"),
        (b'{"a": "\0"}', r"is not JSON: the character U\+0000 \(line 1, column 8\)"),
        (b'{"a": "\\ud800"}', r"half a character, .* \(line 1, column 14\)"),
        (b'{"a":\n' + b"9" * 5000 + b"}", r"a number has too many digits \(line 2, column "),
        (b'{"a": ' + b"[" * 500 + b"]" * 500 + b"}", r"nested too deeply \(line 1, column "),
        (b"[" * 100_000, "nested too deeply"),
        (b"[{}]", "must hold one JSON object"),
        (b'{"name": "night", "benchmarks": []}', "is a suite: `mgym suite dispatch`"),
    ],
)
def test_what_is_no_json_says_why_and_where(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(content)
    with pytest.raises(NoConfiguration, match=words):
        read_configuration(path)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.sampled_from([None, 1]),
)
def test_json_without_a_repetition_is_what_it_is(value: Any, indent: int | None) -> None:
    assert texts.loads(json.dumps(value, indent=indent)) == value


@given(st.text(max_size=5), st.lists(st.sampled_from(["[{}]", '{"x": {}}', "{}"]), max_size=3))
def test_a_repetition_is_found_at_any_depth(key: str, around: list[str]) -> None:
    named = json.dumps(key)
    text = f'{{{named}: {{"b": "{{"}}, "c": [{{{named}: 1}}], {named}: 2}}'
    for outer in around:
        text = outer.replace("{}", text, 1)
    with pytest.raises(texts.NotText, match="twice in one object"):
        texts.loads(text)


def test_standard_input_is_a_dash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("echo.qasm").write_text(CIRCUIT)
    given_texts = [json.dumps(ECHO), WIT, json.dumps(suite_of({"benchmark_name": "WIT"}))]
    monkeypatch.setattr(
        "sys.stdin", SimpleNamespace(buffer=SimpleNamespace(read=lambda: given_texts.pop(0).encode("utf-16")))
    )
    assert read_configuration("-")["qasm"] == CIRCUIT
    assert load_json_file("-")["shots"] == 77
    assert load_suite("-")[0].name == "mine"


def test_standard_input_that_holds_nothing_is_said_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", SimpleNamespace(buffer=io.BytesIO()))
    with pytest.raises(NoConfiguration, match="standard input is empty"):
        read_configuration("-")


@pytest.mark.parametrize("beside", [True, False], ids=["beside the file", "in the working directory"])
def test_a_circuit_is_found_beside_its_file_or_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, beside: bool
) -> None:
    folder, elsewhere = tmp_path / "configurations", tmp_path / "elsewhere"
    folder.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (folder if beside else elsewhere).joinpath("echo.qasm").write_bytes(codecs.BOM_UTF8 + CIRCUIT.encode())
    config, suite = folder / "echo.json", folder / "suite.json"
    config.write_text(json.dumps(ECHO))
    suite.write_text(json.dumps(suite_of(ECHO)))
    assert read_configuration(config)["qasm"] == CIRCUIT
    (entry,) = load_suite(suite)[0].benchmarks
    assert entry.config["qasm"] == CIRCUIT
    assert "qasm_path" not in entry.config


def test_a_circuit_that_is_nowhere_is_named_with_the_places_and_with_its_entry(tmp_path: Path) -> None:
    suite = tmp_path / "suite.json"
    suite.write_text(json.dumps(suite_of(ECHO)))
    with pytest.raises(InvalidRequest) as caught:
        load_suite(suite)
    (problem,) = caught.value.problems
    assert problem.path == "$.benchmarks[0].config.qasm_path"
    assert str(tmp_path / "echo.qasm") in problem.message
    assert str(Path.cwd() / "echo.qasm") in problem.message
