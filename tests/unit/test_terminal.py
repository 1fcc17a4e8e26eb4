"""Room on a terminal: at 80 columns nothing breaks inside a word, and what is piped is as wide as it must be."""

from __future__ import annotations

import io
import json
import os
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from metriq_gym.cli.csvs import jobs_as_csv
from metriq_gym.terminal import report
from metriq_gym.terminal.lines import tell, wrapped
from metriq_gym.terminal.tables import show_table
from metriq_gym.wording import as_json
from tests.support.jobs import ended_job, failed_job
from tests.support.terminal import mgym, on_terminal

MADE_UP = "c784aded95c74df8b20d55d0aa50a1e9"
WORDS = st.text(alphabet="abcdefghij-_.", min_size=1, max_size=14)
CELLS = st.lists(WORDS, min_size=1, max_size=12).map(" ".join)


def printed(console: Console) -> str:
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def terminal(width: int = 80) -> Console:
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


@given(st.integers(2, 5).flatmap(lambda n: st.lists(st.lists(CELLS, min_size=n, max_size=n), min_size=1, max_size=6)))
def test_no_word_of_a_table_is_broken(rows: list[list[str]]) -> None:
    console = terminal()
    show_table(console, [f"column {n}" for n in range(len(rows[0]))], rows)
    said = printed(console).split()
    for row in rows:
        for cell in row:
            assert set(cell.split()) <= set(said)


def test_long_columns_give_way_first_and_the_table_fits() -> None:
    console = terminal()
    rows = [["an-id-to-copy", "exported", "0.9965 ± 0.0007", "the reason is long " * 8]]
    show_table(console, ("job", "state", "score", "why"), rows)
    lines = printed(console).splitlines()
    assert max(map(len, lines)) <= 80
    assert any("an-id-to-copy  exported  0.9965 ± 0.0007" in line for line in lines)


def test_columns_come_closer_before_one_gives_way() -> None:
    row = ["73dc4a3546fa", "WIT", "local/aer_simulator", "exported", "0.9960 ± 0.0007", "30 s"]
    shown = {}
    for width in (100, 80):
        console = terminal(width)
        show_table(console, ("job", "benchmark", "device", "state", "score", "age"), [row])
        (shown[width],) = (line for line in printed(console).splitlines() if "aer" in line)
    for width, gap in ((100, 3), (80, 2)):
        at = (" " * gap).join([row[0], row[1].ljust(len("benchmark")), *row[2:]])
        assert shown[width] == f" {at} "


def test_a_table_that_cannot_fit_is_a_paragraph_a_row() -> None:
    console = terminal()
    show_table(console, ("path", "other path"), [["/a" * 30, "/b" * 30], ["/c", ""]])
    expected = ["path        " + "/a" * 30, "other path  " + "/b" * 30, "", "path        /c", ""]
    assert printed(console).splitlines() == expected


def test_a_paragraph_is_wrapped_between_words_under_each_other() -> None:
    console = terminal()
    show_table(console, ("file", "words"), [["/a" * 45, "word " * 20]])
    lines = printed(console).splitlines()
    assert lines[0] == "file   " + "/a" * 45
    assert [line.split() for line in lines[1:3]] == [["words", *["word"] * 14], ["word"] * 6]
    assert lines[2].startswith("       word")


@pytest.mark.parametrize("device", ["aer_simulator", "fake_guadalupe", "homebrew_s2"])
def test_a_list_of_jobs_fits_80_columns_in_whole_words(device: str) -> None:
    console = terminal()
    jobs = [
        ended_job(MADE_UP, device=device, benchmark_name="Quantum Fourier Transform"),
        ended_job(f"{MADE_UP}.002-kernel", device=device),
        failed_job("night-7", benchmark_name="Bernstein-Vazirani", device=device),
    ]
    report.show_jobs(console, jobs)
    text = printed(console)
    assert max(map(len, text.splitlines())) <= 80
    for word in ("c784aded95c7.002-kernel", "Bernstein-Vazirani", "tyxonq/" + device, "failed", "Transform"):
        assert word in text.split()


def test_facts_are_wrapped_between_words_under_each_other() -> None:
    console = terminal(40)
    report.show_facts(console, {"why": "one two three four five six seven eight nine", "path": "/very" * 12})
    lines = printed(console).splitlines()
    assert lines[:2] == ["why   one two three four five six seven", "      eight nine"]
    assert "/very" * 12 in "".join(lines)


def test_a_long_cell_makes_no_other_row_of_a_pipe_wider() -> None:
    console = Console(file=io.StringIO(), width=40)
    show_table(console, ("what", "found", "do"), [["a", "x" * 100, "mend"], ["b", "fine", "nothing"]])
    assert printed(console).splitlines() == [
        "what  found  do",
        "a     " + "x" * 100 + "  mend",
        "b     fine   nothing",
    ]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
        lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(), each, max_size=4),
    )
)
def test_printed_json_means_the_same(document: Any) -> None:
    assert json.loads(as_json(document)) == document


def test_a_long_list_of_numbers_is_on_one_line_of_a_record() -> None:
    record = {"results": {"chain_eplgs": [0.1] * 50}, "edges": [[0, 1], [1, 2]], "names": ["a", "b"]}
    lines = as_json(record).splitlines()
    assert f'    "chain_eplgs": {json.dumps([0.1] * 50)}' in lines
    assert '  "edges": [[0, 1], [1, 2]],' in lines
    assert '    "a",' in lines


def test_csv_has_a_column_for_each_metric_and_its_uncertainty() -> None:
    jobs = [
        ended_job("a", tags=["nightly", "cold"]),
        ended_job("b", result={"depth": 7, "name": "x"}),
        failed_job("c", reason="it broke,\nbadly"),
    ]
    head, *_ = lines = jobs_as_csv(jobs).splitlines()
    assert head.startswith("job_id,suite_id,suite_name,benchmark_name,provider,device,state,held,tags,")
    assert head.endswith("expectation_value,expectation_value_uncertainty,score,score_uncertainty,depth")
    assert '"nightly,cold"' in lines[1]
    assert lines[1].endswith(",0.99,0.001,0.99,0.001,")
    assert lines[2].endswith(",,,,,7")
    assert '"it broke,' in lines[3]


@given(st.lists(WORDS, min_size=1, max_size=40).map(" ".join), st.sampled_from(["", "  "]))
def test_a_message_is_broken_between_words_and_says_the_same(sentence: str, begin: str) -> None:
    lines = wrapped(begin + sentence, 40)
    assert max(map(len, lines)) <= 40
    assert [line.startswith(begin) for line in lines] == [True] * len(lines)
    assert " ".join(lines).split() == sentence.split()


def test_a_message_is_as_long_as_it_is_where_no_terminal_is() -> None:
    console = Console(file=io.StringIO(), width=40)
    tell(console, "a :star: is [red] word " * 5)
    assert printed(console) == "a :star: is [red] word " * 5 + "\n"


def test_a_command_to_be_copied_and_a_word_that_is_too_long_stay_in_one_piece() -> None:
    console = terminal(48)
    tell(
        console,
        f"to wait for its result: mgym job poll nightly\nlook with `mgym job view nightly`\nsaved to {'/a' * 30}",
    )
    tell(console, "this is where it stands; look with `mgym job view nightly`")
    assert printed(console).splitlines() == [
        "to wait for its result: mgym job poll nightly",
        "look with `mgym job view nightly`",
        "saved to",
        "/a" * 30,
        "this is where it stands; look with",
        "`mgym job view nightly`",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["schema", "no-such-benchmark-" * 2 + "that-anybody-has-ever-heard-of"], 3),
        (["job", "list", "--since", "the day before yesterday, shortly after lunch"], 2),
    ],
)
def test_what_is_wrong_is_said_in_whole_words_on_a_terminal_and_on_one_line_elsewhere(
    arguments: list[str], code: int
) -> None:
    piped = mgym(dict(os.environ), *arguments)
    ended, said = on_terminal(dict(os.environ), arguments, columns=80)
    lines = said.splitlines()
    assert (piped.returncode, ended) == (code, code)
    assert max(map(len, piped.stderr.splitlines())) > 80
    assert max(map(len, lines)) <= 80
    assert " ".join(lines).split() == piped.stderr.split()
