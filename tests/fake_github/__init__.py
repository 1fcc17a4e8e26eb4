"""A stand-in for GitHub's REST API: what opening a pull request takes of it, over real HTTP, with its faults."""

from tests.fake_github.server import FakeGitHub, serving
from tests.fake_github.state import Fault, PullRequest, Repository, State

__all__ = ["FakeGitHub", "Fault", "PullRequest", "Repository", "State", "serving"]
