"""Settings come from the environment or from files it names, and secrets are shown nowhere."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from metriq_gym.errors import Permanent
from metriq_gym.providers import Providers
from metriq_gym.providers.plugin import declared
from metriq_gym.settings import PREFIX, Settings, table

README = Path(__file__).parents[2] / "README.md"


def test_a_variable_may_name_a_file_that_holds_the_value(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = tmp_path / "url"
    secret.write_text("amqp://user:password@host/\n")
    monkeypatch.setenv("METRIQ_AMQP_URL_FILE", str(secret))
    url = Settings().amqp_url
    assert url is not None
    assert url.get_secret_value() == "amqp://user:password@host/"


def test_the_variable_itself_comes_before_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "prefetch"
    file.write_text("5")
    monkeypatch.setenv("METRIQ_PREFETCH_FILE", str(file))
    assert Settings().prefetch == 5
    monkeypatch.setenv("METRIQ_PREFETCH", "7")
    assert Settings().prefetch == 7


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AMQP_URL", "MONGO_URL", "TYXONQ_TOKEN", "GITHUB_TOKEN"):
        monkeypatch.setenv(PREFIX + name, "hunter2hunter2")
    settings = Settings()
    assert "hunter2" not in repr(settings) + str(settings) + settings.model_dump_json()


def test_a_refused_setting_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRIQ_GITHUB_REPOS", "hunter2")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "hunter2" not in str(refused.value)


def test_a_value_out_of_bounds_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("METRIQ_PREFETCH", "0")
    with pytest.raises(ValidationError, match="prefetch"):
        Settings()


@pytest.mark.parametrize(
    ("url", "seconds", "accepted"),
    [
        (None, "60", True),
        (None, "59", False),
        ("https://127.0.0.1.example.com/", "1", False),
        ("http://tyxonq-sandbox:8700/", "1", False),
        ("http://127.0.0.1:8700/", "1", True),
        ("http://localhost:8700/", "1", True),
        ("http://[::1]:8700/", "1", True),
    ],
)
def test_lost_submissions_are_waited_for_long_enough_but_for_a_sandbox_on_this_machine(
    monkeypatch: pytest.MonkeyPatch, url: str | None, seconds: str, accepted: bool
) -> None:
    monkeypatch.setenv("METRIQ_TYXONQ_TOKEN", "token")
    monkeypatch.setenv("METRIQ_SETTLE_SECONDS", seconds)
    if url is not None:
        monkeypatch.setenv("METRIQ_TYXONQ_BASE_URL", url)
    if accepted:
        Providers(Settings()).check_settings()
    else:
        with pytest.raises(Permanent, match="METRIQ_SETTLE_SECONDS must be at least 60 for the provider 'tyxonq'"):
            Providers(Settings()).check_settings()


def test_a_list_is_words_between_commas_or_json(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("me/data, you/data", '["me/data", "you/data"]'):
        monkeypatch.setenv("METRIQ_GITHUB_REPOS", text)
        assert Settings().github_repos == ("me/data", "you/data")


@pytest.mark.parametrize("repo", ["", "data", "me/", "/data", "me/data/x", "me/..", "https://github.com/me/data"])
def test_what_is_no_repository_is_refused(monkeypatch: pytest.MonkeyPatch, repo: str) -> None:
    monkeypatch.setenv("METRIQ_GITHUB_REPOS", repo)
    with pytest.raises(ValidationError, match="github_repos"):
        Settings()


def test_the_readme_lists_every_setting() -> None:
    """If this fails: `make pages` writes the table between the marks."""
    between = README.read_text().split("<!-- settings: ")[1].split("-->\n", 1)[1].split("<!-- /settings")[0]
    assert between.strip() == table(*declared())
