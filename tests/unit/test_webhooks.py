"""Webhooks and notifications: where they may go, how they are signed, and that each event comes once and in order."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from http.server import ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
import typer

from metriq_gym.bus.port import Delivery
from metriq_gym.cli import notify
from metriq_gym.cli.errors import Usage
from metriq_gym.cli.exports import tell_of_location
from metriq_gym.errors import MetriqGymError, OutOfReach, Permanent, Transient
from metriq_gym.exporters.people import People
from metriq_gym.exporters.senders import Sender
from metriq_gym.exporters.webhook import Webhook, key_of, signed
from metriq_gym.jobs import ExportState, Job, JobState
from metriq_gym.jobs.notices import Notice, job_ended, suite_ended
from metriq_gym.messages import JobFailed, JobScored
from metriq_gym.settings import Settings
from metriq_gym.testing import memory_store
from services.exporter import Exporter
from tests.support.jobs import ended_job, failed_job
from tests.support.receiver import SECRET, Receiver, receiving
from tests.support.telling import Clock, exporter_of

HOOK = "https://hooks.example.org/metriq"
PUBLIC = "93.184.216.34"


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as started:
        yield started


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def delivery_of(job: Job) -> Delivery:
    """What says that the job has ended."""
    if job.failure is not None:
        message: Any = JobFailed(job_id=job.id, outcome=job.failure.outcome, reason=job.failure.reason)
    else:
        message = JobScored(job_id=job.id)
    return Delivery(message.routing_key, message.model_dump_json().encode(), correlation_id=job.id)


async def handled_in_time(exporter: Exporter, jobs: Sequence[Job], clock: Clock, until: float) -> list[Job]:
    """Deliver the end of each job, again each time that it is due; return those that are to come again."""
    due = {job.id: clock.seconds for job in jobs}
    by_id = {job.id: job for job in jobs}
    async with exporter.bus:
        while due and min(due.values()) <= until:
            job_id = min(due, key=lambda each: (due[each], each))
            clock.seconds = max(clock.seconds, due[job_id])
            try:
                await exporter.handle(delivery_of(by_id[job_id]))
            except Transient as error:
                due[job_id] = clock.seconds + max(error.retry_after or 0.0, 1.0)
            else:
                del due[job_id]
    clock.seconds = max(clock.seconds, until)
    return [by_id[each] for each in due]


async def test_a_receiver_that_fails_for_an_hour_gets_each_event_once_and_in_order(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    suite: dict[str, Any] = {"suite_id": "night", "suite_name": "nightly", "suite_size": 3}
    jobs = [ended_job("night.1", **suite), ended_job("night.2", **suite), failed_job("night.3", **suite)]
    store = memory_store()
    async with store:
        for job in jobs:
            await store.records.add(job)
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        receiver.status = 503
        waiting = await handled_in_time(exporter, jobs, clock, until=3600)
        assert ([job.id for job in waiting], receiver.got) == (["night.1", "night.2", "night.3"], [])
        # Their records are where they are to be, whoever does not listen.
        assert (await store.jobs.get("night.1")).state is JobState.EXPORTED
        assert receiver.asked < 60
        receiver.status = 204
        # Another process goes on where the one before was.
        again = exporter_of(receiver.settings(), store, tmp_path)
        assert await handled_in_time(again, waiting, clock, until=3 * 3600) == []
        ended = [f"{job.id}/job.ended/0" for job in jobs]
        assert sorted(receiver.ids) == [*ended, "night/suite.ended/0"]
        assert receiver.ids[-1] == "night/suite.ended/0"
        assert await handled_in_time(again, jobs, clock, until=4 * 3600) == []
        assert len(receiver.ids) == 4
        assert {each.state for each in (await store.jobs.get("night.3")).exports.values()} == {ExportState.DONE}


async def test_an_event_does_not_pass_for_a_file(
    receiver: Receiver, clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with memory_store() as store:
        await store.records.add(ended_job())
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        assert await handled_in_time(exporter, [ended_job()], clock, until=0) == []
        exports = (await store.jobs.get("wit-1")).exports
    for each in exports.values():
        tell_of_location("wit-1", str(each.location))
    said = "".join(capsys.readouterr())
    assert str(tmp_path) in said.replace("\n", "")
    assert "job.ended" not in said


async def test_the_reconciler_finds_a_job_that_is_exported_but_not_told(
    receiver: Receiver, clock: Clock, tmp_path: Path
) -> None:
    async with memory_store() as store:
        await store.records.add(ended_job())
        receiver.status = 500
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        assert await handled_in_time(exporter, [ended_job()], clock, until=10)
        clock.seconds += 7200  # and its message is lost
        (found,) = await store.upkeep.unrecorded(30)
        assert (found.id, found.state) == ("wit-1", JobState.EXPORTED)
        receiver.status = 204
        assert await handled_in_time(exporter, [found], clock, until=clock.seconds) == []
        assert await store.upkeep.unrecorded(0) == []


async def test_a_crash_after_sending_sends_the_same_event_again(
    receiver: Receiver, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with memory_store() as store:
        await store.records.add(ended_job())
        exporter = exporter_of(receiver.settings(), store, tmp_path)
        settle = store.exports.settle

        async def crash(ids: Sequence[str], target: str, *args: Any, **about: Any) -> Any:
            if target == "webhook":
                raise KeyboardInterrupt
            return await settle(ids, target, *args, **about)

        monkeypatch.setattr(store.exports, "settle", crash)
        with pytest.raises(KeyboardInterrupt):
            await handled_in_time(exporter, [ended_job()], clock, until=0)
        monkeypatch.setattr(store.exports, "settle", settle)
        assert await handled_in_time(exporter_of(receiver.settings(), store, tmp_path), [ended_job()], clock, 60) == []
        assert receiver.ids == ["wit-1/job.ended/0"] * 2
        assert receiver.events[0] == receiver.events[1]


async def test_a_job_whose_record_failed_is_not_exported_by_being_told(
    receiver: Receiver, tmp_path: Path, clock: Clock
) -> None:
    (tmp_path / "file").write_text("")
    async with memory_store() as store:
        await store.records.add(ended_job())
        exporter = exporter_of(receiver.settings(), store, tmp_path / "file")
        await handled_in_time(exporter, [ended_job()], clock, until=0)
        assert (receiver.ids, (await store.jobs.get("wit-1")).state) == (["wit-1/job.ended/0"], JobState.SCORED)


def test_an_event_is_a_cloud_event_that_is_signed(receiver: Receiver) -> None:
    Webhook(receiver.settings(), now=lambda: 1_795_000_000.5).send(job_ended(failed_job(reason="über")))
    ((headers, body),) = receiver.got
    (event,) = receiver.events
    assert headers["content-type"].startswith("application/cloudevents+json")
    assert (event["specversion"], event["type"], event["subject"]) == ("1.0", "info.metriq.job.ended", "wit-1")
    assert event["data"] | {"outcome": "failed", "reason": "über"} == event["data"]
    expected = signed(event["id"], 1_795_000_000, body, SECRET.encode())
    assert {name: headers[name] for name in expected} == expected


def test_a_signature_is_that_of_standard_webhooks() -> None:
    # The example of their specification's libraries.
    key = key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signed("msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}', key)
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example.org/metriq", "does not list"),
        ("https://hooks.example.org:8443/metriq", "does not list"),
        ("https://hooks.example.org.evil.example/", "does not list"),
        ("https://evil.example/?hooks.example.org", "does not list"),
        ("https://2130706433/", "does not list"),
        ("https://0x7f.1/", "does not list"),
        ("https://[::ffff:127.0.0.1]/", "does not list"),
        ("https://user:password@hooks.example.org/", "user or a password"),
        ("https://hooks.example.org@evil.example/", "user or a password"),
        ("https://evil.example\\@hooks.example.org/", "backslash|user or a password"),
        ("https://hooks.example.org/#x", "fragment"),
        ("https://hooks.example.org:99999/", "no valid URL"),
        ("https://[::1/", "no valid URL"),
        ("file:///etc/passwd", "https://"),
        ("gopher://hooks.example.org/", "https://"),
        ("//hooks.example.org/", "https://"),
        ("https://hooks.example.org/a\r\nX: y", "control character"),
        ("", "https://"),
    ],
)
def test_a_url_that_leads_elsewhere_keeps_the_exporter_from_starting(url: str, said: str) -> None:
    with pytest.raises(Permanent, match=said) as refused:
        Webhook(Settings(webhook_url=url, webhook_hosts="hooks.example.org", webhook_secret=SECRET))
    assert "METRIQ_WEBHOOK_URL" in str(refused.value)
    assert "password@" not in str(refused.value)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00:ec2::254",
        "ff02::1",
        "::ffff:169.254.169.254",
        "::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:0:0:0:0:80ff:fffe",
    ],
)
def test_an_address_that_is_not_public_is_never_connected_to(address: str) -> None:
    hook = Webhook(
        Settings(webhook_url=HOOK, webhook_hosts="hooks.example.org", webhook_secret=SECRET),
        look_up=lambda host, port: [PUBLIC, address],
    )
    with pytest.raises(OutOfReach, match=re.escape(address)):
        hook.send(job_ended(ended_job()))


def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.status, receiver.headers = 302, {"Location": "http://169.254.169.254/latest/meta-data/"}
    with pytest.raises(OutOfReach, match="redirects"):
        Webhook(receiver.settings()).send(job_ended(ended_job()))
    assert receiver.asked == 1


def test_a_name_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    asked: list[str] = []

    def look_up(host: str, port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254"]

    address = f"http://hooks.example.org:{receiver.port}"
    hook = Webhook(receiver.settings(webhook_url=address, webhook_hosts=address), look_up=look_up)
    hook.send(job_ended(ended_job()))
    assert (asked, len(receiver.got)) == (["hooks.example.org"], 1)


def test_what_a_receiver_answers_says_when_it_is_tried_again(receiver: Receiver) -> None:
    hook = Webhook(receiver.settings())
    receiver.status, receiver.headers = 429, {"Retry-After": "86400"}
    with pytest.raises(Transient) as error:
        hook.send(job_ended(ended_job()))
    assert error.value.retry_after == 3600
    receiver.status, receiver.headers = 410, {}
    with pytest.raises(Permanent):
        hook.send(job_ended(ended_job()))
    with receiving() as gone:
        left = Webhook(gone.settings())
    with pytest.raises(Transient, match="cannot be reached"):
        left.send(job_ended(ended_job()))


@pytest.mark.parametrize("status", [204, 302, 410, 429, 500])
def test_an_answer_leaves_no_connection_open(receiver: Receiver, status: int) -> None:
    receiver.status = status
    error: Exception | None = None
    try:
        Webhook(receiver.settings()).send(job_ended(ended_job()))
    except MetriqGymError as raised:
        error = raised  # which holds what was there when it was raised
    assert (error is None, receiver.asked, receiver.connections()) == (status == 204, 1, 0)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changes", "setting"),
    [
        ({"webhook_secret": None}, "METRIQ_WEBHOOK_SECRET"),
        ({"webhook_secret": "short"}, "METRIQ_WEBHOOK_SECRET"),
        ({"webhook_secret": "whsec_not base64 at all"}, "METRIQ_WEBHOOK_SECRET"),
        ({"webhook_hosts": ()}, "METRIQ_WEBHOOK_HOSTS"),
        ({"webhook_hosts": "ftp://hooks.example.org"}, "METRIQ_WEBHOOK_HOSTS"),
        ({"notify_private_networks": "127.0.0.1/8"}, "METRIQ_NOTIFY_PRIVATE_NETWORKS"),
        ({"notify_urls": "nonsense://x"}, "METRIQ_NOTIFY_URLS"),
        ({"notify_urls": "json://elsewhere.example/"}, "METRIQ_NOTIFY_HOSTS"),
        (
            {"notify_urls": "mailto://u:p@example.org?smtp=10.0.0.1", "notify_hosts": "example.org"},
            "METRIQ_NOTIFY_HOSTS",
        ),
        ({"notify_urls": "json://example.org?redirect=yes", "notify_hosts": "example.org"}, "METRIQ_NOTIFY_URLS"),
    ],
)
async def test_settings_that_are_of_no_use_keep_the_exporter_from_starting(
    changes: dict[str, Any], setting: str, receiver: Receiver, tmp_path: Path
) -> None:
    async with memory_store() as store:
        exporter = exporter_of(receiver.settings(**changes), store, tmp_path)
        with pytest.raises(MetriqGymError, match=setting):
            await exporter.start()


def test_a_secret_comes_from_a_file_and_is_in_no_text_of_the_settings(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, receiver: Receiver
) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET)
    monkeypatch.setenv("METRIQ_WEBHOOK_SECRET_FILE", str(file))
    monkeypatch.setenv("METRIQ_NOTIFY_URLS", "json://user:password@example.org")
    usual = receiver.settings()
    settings = Settings(
        webhook_url=usual.webhook_url,
        webhook_hosts=usual.webhook_hosts,
        notify_private_networks=usual.notify_private_networks,
    )
    assert SECRET not in repr(settings)
    assert "password@" not in repr(settings)
    hook = Webhook(settings, now=lambda: 1.0)
    file.write_text("another secret, as long as that")
    hook.send(job_ended(ended_job()))
    ((headers, body),) = receiver.got
    assert signed("wit-1/job.ended/0", 1, body, b"another secret, as long as that").items() <= headers.items()


class Told:
    """Remembers what it was to send."""

    def __init__(self) -> None:
        self.notices: list[Notice] = []

    def send(self, notice: Notice) -> None:
        self.notices.append(notice)


def test_no_more_is_sent_than_is_allowed_and_the_rest_comes_again() -> None:
    told, seconds = Told(), [1000.0]
    sender = Sender(told, 60, now=lambda: seconds[0], sleep=lambda wait: None)
    late: list[float] = []
    for number in range(100):
        try:
            sender.send(job_ended(ended_job(f"wit-{number}")))
        except Transient as error:
            late.append(error.retry_after or 0.0)
    assert len(told.notices) + len(late) == 100
    assert min(late) > 5
    assert len(told.notices) == 16  # ten seconds' worth, this second's, and five that wait their turn
    seconds[0] += 60
    sender.send(job_ended(ended_job()))
    assert len(told.notices) == 17


def test_people_who_were_told_are_not_told_again_when_others_could_not_be() -> None:
    settings = Settings(notify_urls="json://a.example json://b.example", notify_hosts="a.example,b.example")
    people = People(settings, look_up=lambda host, port: [PUBLIC])
    told: list[str] = []
    answers = {"a": True, "b": False}

    def service(name: str) -> Any:
        def notify(*, body: str, title: str) -> bool:
            told.append(f"{name}: {body}")
            return answers[name]

        return SimpleNamespace(notify=notify, port=None)

    people._services = [(service("a"), {"a.example"}), (service("b"), set())]
    with pytest.raises(Transient, match="address 2"):
        people.send(job_ended(ended_job()))
    answers["b"] = True
    people.send(job_ended(ended_job()))
    said = "WIT on tyxonq/homebrew_s2: scored, score 0.99"
    assert told == [f"a: {said}", f"b: {said}", f"b: {said}"]


@pytest.mark.parametrize(
    "name",
    [
        "<img src=https://elsewhere.example/x>",
        "&lt;b&gt;",
        "<!channel> <@U123>",
        "@everyone",
        "[click](https://elsewhere.example)",
        "<https://elsewhere.example|click>",
    ],
)
def test_what_strangers_write_is_no_mention_no_link_and_no_html_to_people(name: str) -> None:
    people = People(Settings(notify_urls="json://a.example", notify_hosts="a.example"), look_up=lambda *_: [PUBLIC])
    told: list[str] = []

    def notify(*, body: str, title: str) -> bool:
        told.append(body)
        return True

    service: Any = SimpleNamespace(notify=notify, port=None)
    people._services = [(service, set())]
    people.send(suite_ended([ended_job(suite_id="s", suite_name=name, suite_size=1)]))
    (line,) = told
    assert line.startswith("suite ")
    assert not re.search(r"[<>&@\[\]|]|://", line)


def test_people_are_not_told_at_an_address_that_is_not_public() -> None:
    settings = Settings(notify_urls="json://a.example", notify_hosts="a.example")
    people = People(settings, look_up=lambda host, port: ["169.254.169.254"])
    with pytest.raises(OutOfReach, match=re.escape("169.254.169.254")):
        people.send(job_ended(ended_job()))


def test_the_receiver_of_the_documentation_takes_what_is_genuine_and_each_event_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = Path(__file__).parents[2] / "docs" / "notifications.md"
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    monkeypatch.setenv("WEBHOOK_SECRET", SECRET)
    module: dict[str, Any] = {"__name__": "receiver"}
    exec(compile(code, str(page), "exec"), module)
    module["Receiver"].log_message = lambda *_: None
    with ThreadingHTTPServer(("127.0.0.1", 0), module["Receiver"]) as server:
        serving = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        serving.start()
        usual = Receiver(port=server.server_address[1])
        try:
            for _ in range(2):
                Webhook(usual.settings()).send(job_ended(ended_job()))
            for forged in (
                Webhook(usual.settings(webhook_secret="another secret, as long as that")),
                Webhook(usual.settings(), now=lambda: 1_600_000_000.0),
            ):
                with pytest.raises(Transient, match="401"):
                    forged.send(job_ended(ended_job()))
        finally:
            server.shutdown()
            serving.join()
    assert capsys.readouterr().out.count("info.metriq.job.ended wit-1") == 1


def test_the_configuration_is_tried_by_a_command(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in (
        ("URL", f"http://127.0.0.1:{receiver.port}/"),
        ("HOSTS", f"http://127.0.0.1:{receiver.port}"),
        ("SECRET", SECRET),
    ):
        monkeypatch.setenv(f"METRIQ_WEBHOOK_{name}", value)
    with pytest.raises(typer.Exit):
        notify.test()
    assert receiver.asked == 0
    assert "METRIQ_NOTIFY_PRIVATE_NETWORKS" in "".join(capsys.readouterr())
    monkeypatch.setenv("METRIQ_NOTIFY_PRIVATE_NETWORKS", "127.0.0.0/8")
    notify.test()
    assert receiver.events[0]["type"] == "info.metriq.test"
    monkeypatch.delenv("METRIQ_WEBHOOK_URL")
    with pytest.raises(Usage):
        notify.test()
