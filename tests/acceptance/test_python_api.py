"""The snippets of metriq-gym's API reference and of docs/python.md run as printed, each in a process of its own."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from metriq_gym.client.session import Session
from metriq_gym.constants import JobType
from metriq_gym.errors import IllegalTransition, InvalidRequest, NotFound
from metriq_gym.job_manager import JobManager, MetriqGymJob
from metriq_gym.run import dispatch_job, load_provider, poll_job, setup_device
from metriq_gym.settings import Settings
from tests.fake_github.server import MAINTAINER, FakeGitHub
from tests.fake_github.server import serving as serving_github
from tests.ibm import server as ibm
from tests.sandbox.fixture import SandboxControl
from tests.support.patience import PATIENCE
from tests.support.readme import ROOT, blocks

PAGE = Path(__file__).with_name("api_reference.md").read_text(encoding="utf-8")
SNIPPETS: dict[str, str] = dict(re.findall(r"^### (.*?)\n\n```python\n(.*?)```", PAGE, flags=re.MULTILINE | re.DOTALL))
OUR_PAGE = blocks("python", ROOT / "docs" / "python.md")
METRIQ_DATA = "unitaryfoundation/metriq-data"

JOB_TYPE = "from metriq_gym.constants import JobType\n"
JOB_AND_RESULT = """
from metriq_gym.job_manager import JobManager
job = JobManager().get_job("job-id")
result = job.result_data
"""
PREAMBLES = {
    "MetriqGymJob": JOB_TYPE,
    "SCHEMA_MAPPING": JOB_TYPE,
    "GitHubPRExporter": JOB_AND_RESULT,
    "JSONExporter": JOB_AND_RESULT,
}
"""Names that the page uses and leaves to its reader."""
STATIC = sorted(SNIPPETS.keys() - {"Custom Provider Setup", "Dispatch and Poll", "GitHubPRExporter"})
"""Those that are run with no more ado; the others have tests of their own."""

JOB = MetriqGymJob(
    id="job-id",
    job_type=JobType.WIT,
    params={"benchmark_name": "WIT", "num_qubits": 7, "shots": 8192},
    provider_name="local",
    device_name="aer_simulator",
    dispatch_time="2025-01-15T12:00:00",
    result_data={"score": {"value": 0.99, "uncertainty": 0.001}},
)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(data_dir=tmp_path_factory.mktemp("data"), workers=1)


@pytest.fixture(scope="module")
def manager(settings: Settings) -> Iterator[JobManager]:
    """Its open store keeps the private database up, so that the other processes need not start it."""
    manager = JobManager(settings=settings)
    manager.add_job(JOB)
    yield manager
    manager.session.close()


@pytest.fixture(scope="module")
def github() -> Iterator[FakeGitHub]:
    with serving_github() as server:
        server.state.add(METRIQ_DATA, writers={MAINTAINER})
        yield server


@pytest.fixture(scope="module")
def environment(settings: Settings, manager: JobManager, github: FakeGitHub) -> dict[str, str]:
    return {
        **os.environ,
        "METRIQ_DATA_DIR": str(settings.data_dir),
        "METRIQ_WORKERS": "1",
        "METRIQ_GITHUB_TOKEN": github.token(MAINTAINER),
        "METRIQ_GITHUB_API_URL": github.url,
        "METRIQ_GITHUB_REPOS": METRIQ_DATA,
    }


def run(code: str, environment: dict[str, str], folder: Path) -> subprocess.CompletedProcess[str]:
    script = folder / "snippet.py"
    script.write_text(code)
    return subprocess.run(
        [sys.executable, str(script)], env=environment, cwd=folder, capture_output=True, text=True, timeout=PATIENCE
    )


def printed(title: str) -> str:
    return PREAMBLES.get(title, "") + SNIPPETS[title]


def test_the_page_has_all_its_snippets() -> None:
    assert len(SNIPPETS) == 12


@pytest.mark.parametrize("title", STATIC)
def test_each_snippet_runs_as_printed(title: str, environment: dict[str, str], tmp_path: Path) -> None:
    done = run(printed(title), environment, tmp_path)
    assert done.returncode == 0, done.stderr
    if title == "JSONExporter":
        record = json.loads((tmp_path / "result.json").read_text())
        assert record["results"]["score"] == {"value": 0.99, "uncertainty": 0.001}
        assert record["job_type"] == "WIT"
    if title == "Working with Results":
        assert "0.99" in done.stdout


@pytest.mark.parametrize("number", range(len(OUR_PAGE)))
def test_each_snippet_of_our_own_page_runs_as_printed(
    number: int, environment: dict[str, str], manager: JobManager, tmp_path: Path
) -> None:
    done = run(OUR_PAGE[number], environment, tmp_path)
    assert done.returncode == 0, done.stderr
    if "0.9962" in OUR_PAGE[number]:
        score = ast.literal_eval(done.stdout.splitlines()[-1])
        assert score["value"] == pytest.approx(0.9962, abs=0.004)
    if "GitHubPRExporter" in OUR_PAGE[number]:
        assert "title: mgym upload: " in done.stdout
    if "progress" in OUR_PAGE[number]:
        assert "exported 1 of 1" in done.stdout


def test_the_pull_request_of_the_snippet_is_opened(
    environment: dict[str, str], github: FakeGitHub, tmp_path: Path
) -> None:
    done = run(printed("GitHubPRExporter") + "\nprint(pr_url)", environment, tmp_path)
    assert done.returncode == 0, done.stderr
    (pull,) = github.state.pulls[METRIQ_DATA]
    assert str(pull.number) in done.stdout
    assert pull.title == "mgym upload: WIT on local/aer_simulator"


def test_a_job_is_uploaded_to_where_results_are_published(
    environment: dict[str, str], manager: JobManager, github: FakeGitHub, tmp_path: Path
) -> None:
    manager.add_job(MetriqGymJob(**{**vars(JOB), "id": "to-upload", "state": None}))
    code = """
from types import SimpleNamespace
from metriq_gym.job_manager import JobManager
from metriq_gym.run import upload_job
manager = JobManager()
upload_job(SimpleNamespace(job_id="to-upload", dry_run=True), manager)
print("at", upload_job(SimpleNamespace(job_id="to-upload"), manager))
print("at", upload_job(SimpleNamespace(job_id="to-upload", to="json"), manager))
"""
    done = run(code, environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "title: mgym upload: WIT on local/aer_simulator" in done.stdout
    pull = github.state.pulls[METRIQ_DATA][-1]
    assert pull.head_branch == "mgym/upload-to-upload"
    assert f"/{pull.number}" in done.stdout
    assert "to-upload.json" in done.stdout


def test_a_job_is_looked_at_by_the_beginning_of_its_id(
    environment: dict[str, str], manager: JobManager, tmp_path: Path
) -> None:
    manager.add_job(MetriqGymJob(**{**vars(JOB), "id": "to-view", "state": None}))
    code = """
from types import SimpleNamespace
from metriq_gym.job_manager import JobManager
from metriq_gym.run import view_job
job = view_job(SimpleNamespace(job_id="to-v"), JobManager())
print("returned", job.id, job.result_data["score"]["value"])
"""
    done = run(code, environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"^device +local/aer_simulator$", done.stdout, re.MULTILINE)
    assert re.search(r"^score +0\.9900 ± 0\.0010", done.stdout, re.MULTILINE)
    assert "returned to-view 0.99" in done.stdout


def test_dispatch_and_poll_as_printed_give_the_result(
    environment: dict[str, str], manager: JobManager, tmp_path: Path
) -> None:
    done = run(printed("Dispatch and Poll"), environment, tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"expectation_value +0\.99\d+ ± 0\.000\d", done.stdout)
    assert "building and compiling circuits" in done.stderr
    newest = manager.get_latest_job()
    assert (newest.job_type, newest.state) == (JobType.WIT, "exported")
    assert newest.result_data is not None


def test_a_process_that_only_dispatches_leaves_the_job_to_the_next(
    environment: dict[str, str], manager: JobManager, tmp_path: Path
) -> None:
    dispatch, poll = printed("Dispatch and Poll").split("# Poll")
    config = '{"benchmark_name": "BSEQ", "shots": 500, "max_colors": 3}'
    (tmp_path / "slow.json").write_text(config)
    first = run(dispatch.replace("metriq_gym/schemas/examples/wit.example.json", "slow.json"), environment, tmp_path)
    assert first.returncode == 0, first.stderr
    assert manager.get_latest_job().job_type == JobType.BSEQ
    setup = dispatch.split("# Dispatch")[0]
    second = run(setup + poll, environment, tmp_path)
    assert second.returncode == 0, second.stderr
    assert "largest_connected_size" in second.stdout


def test_a_provider_that_does_not_exist_names_those_that_do(environment: dict[str, str], tmp_path: Path) -> None:
    done = run(printed("Custom Provider Setup").replace('"ibm"', '"another"'), environment, tmp_path)
    assert done.returncode == 1
    assert "unknown provider 'another'; there are: ibm, local, tyxonq" in done.stderr.splitlines()[-1]


def test_what_ibm_needs_is_one_line(environment: dict[str, str], tmp_path: Path) -> None:
    code, hidden = printed("Custom Provider Setup"), "import sys; sys.modules['qiskit_ibm_runtime'] = None\n"
    unset = run(code, environment, tmp_path)
    assert unset.stderr.splitlines()[-1].endswith(
        "provider 'ibm' needs a token: set METRIQ_IBM_TOKEN, or METRIQ_IBM_TOKEN_FILE"
    )
    set_up = environment | {"METRIQ_IBM_TOKEN": "any", "METRIQ_IBM_INSTANCE": "crn:any"}
    without = run(hidden + code, set_up, tmp_path)
    assert without.stderr.splitlines()[-1].endswith("pip install 'metriq-gym-services[ibm]'")


def test_ibm_is_set_up_as_printed(environment: dict[str, str], tmp_path: Path) -> None:
    with ibm.serving() as cloud:
        variables = {"METRIQ_IBM_TOKEN": ibm.KEY, "METRIQ_IBM_INSTANCE": ibm.CRN, "METRIQ_IBM_URL": cloud.url}
        done = run(printed("Custom Provider Setup"), environment | variables, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "ibm_sherbrooke: online" in done.stdout.splitlines()


def test_provider_setup_runs_with_the_providers_there_are(
    environment: dict[str, str], tyxonq_sandbox: SandboxControl, tmp_path: Path
) -> None:
    tyxonq = {"METRIQ_TYXONQ_TOKEN": tyxonq_sandbox.token, "METRIQ_TYXONQ_BASE_URL": tyxonq_sandbox.url}
    for provider, device, status in (("local", "aer_simulator", "online"), ("tyxonq", "homebrew_s2", "online")):
        code = printed("Custom Provider Setup").replace("ibm_sherbrooke", device).replace('"ibm"', f'"{provider}"')
        done = run(code + "\nprint(device.num_qubits)", environment | tyxonq, tmp_path)
        assert done.returncode == 0, done.stderr
        assert f"{device}: {status}" in done.stdout.splitlines()


def test_devices_and_providers_that_do_not_exist_are_named_with_those_that_do(settings: Settings) -> None:
    with pytest.raises(NotFound, match="ibm, local, tyxonq"):
        setup_device("another", "ibm_sherbrooke")
    with pytest.raises(NotFound, match="fake_sherbrooke"):
        load_provider("local", settings).get_device("ibm_sherbrooke")


def test_what_is_wrong_with_a_configuration_is_raised_where_it_is_dispatched(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "bad.json").write_text('{"benchmark_name": "WIT", "num_qubits": 9}')
    dispatch = printed("Dispatch and Poll").split("# Poll")[0]
    wrong_file = run(
        dispatch.replace("metriq_gym/schemas/examples/wit.example.json", "bad.json"), environment, tmp_path
    )
    assert "InvalidRequest: $.num_qubits" in wrong_file.stderr
    wrong_device = run(dispatch.replace('"aer_simulator"', '"aer"'), environment, tmp_path)
    assert wrong_device.returncode == 1
    assert "InvalidRequest: $.device: unknown device 'aer'" in wrong_device.stderr


class TestJobManager:
    def test_a_job_that_is_added_is_found_as_it_was(self, manager: JobManager) -> None:
        job = MetriqGymJob(
            id="unique-id",
            job_type=JobType.QUANTUM_VOLUME,
            params={"num_qubits": 5, "shots": 1000},
            provider_name="ibm",
            device_name="ibm_sherbrooke",
            provider_job_ids=["remote-job-id"],
            dispatch_time="2025-01-15T12:00:00",
            app_version="0.3.1",
            suite_id="suite",
        )
        assert manager.add_job(job) == "unique-id"
        assert manager.add_job(MetriqGymJob(**{**vars(job), "app_version": "other"})) == "unique-id"
        assert manager.get_job("unique-id") == job
        assert manager.get_jobs_by_suite_id("suite") == [job]
        job.result_data = {"hog_prob": 0.7}
        manager.update_job(job)
        assert manager.get_job("unique-id").result_data == {"hog_prob": 0.7}
        assert manager.get_jobs()[0].dispatch_time <= manager.get_jobs()[-1].dispatch_time  # type: ignore[operator]
        manager.delete_job("unique-id")
        with pytest.raises(NotFound):
            manager.get_job("unique-id")
        with pytest.raises(NotFound):
            manager.update_job(job)

    def test_a_job_of_the_services_is_not_changed_by_a_client(self, manager: JobManager) -> None:
        wanted = SimpleNamespace(config="wit", provider="local", device="aer_simulator")
        job = poll_job(SimpleNamespace(job_id=dispatch_job(wanted, manager)), manager)
        manager.update_job(job)
        job.runtime_seconds = 1e9
        with pytest.raises(IllegalTransition, match="belongs to the services"):
            manager.update_job(job)

    def test_the_time_of_dispatch_may_be_text_or_a_datetime(self) -> None:
        text = MetriqGymJob("a", "WIT", {}, "local", "d", dispatch_time="2025-01-15T12:00:00")
        assert text == MetriqGymJob("a", JobType.WIT, {}, "local", "d", dispatch_time=text.dispatch_time)
        assert json.loads(text.serialize())["dispatch_time"] == "2025-01-15T12:00:00+00:00"


def test_a_session_raises_what_its_work_raises_and_can_be_opened_again(settings: Settings) -> None:
    async def refuse() -> None:
        raise InvalidRequest([])

    session = Session(settings)
    for _ in range(2):
        with pytest.raises(InvalidRequest):
            session.run(refuse())
        assert session.on_store(lambda store: store.answers())
        session.close()
