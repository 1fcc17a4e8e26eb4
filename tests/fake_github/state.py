"""What the stand-in for GitHub remembers: users, repositories with branches of files, pull requests, faults."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Files = dict[str, bytes]


@dataclass
class Repository:
    """A repository: branches are named commits, and a commit is all files at that point."""

    full_name: str
    default_branch: str = "main"
    writers: set[str] = field(default_factory=set)
    triagers: set[str] = field(default_factory=set)
    parent: str | None = None
    archived: bool = False
    ready: bool = True
    """Whether git objects can be written; a fork's can only some time after it was made."""
    in_sync: bool = True
    """Of a fork: whether it has its parent's newest commits."""
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.branches:
            self.branches[self.default_branch] = self.commit({"README.md": b"data\n"}, "initial")

    @property
    def owner(self) -> str:
        return self.full_name.split("/")[0]

    def commit(self, files: Files, message: str) -> str:
        """Keep a commit and return its hash."""
        sha = hashlib.sha1(repr((sorted(files.items()), message, len(self.commits))).encode()).hexdigest()
        self.commits[sha] = files
        return sha

    def files(self, branch: str) -> Files:
        """The files of a branch."""
        return self.commits[self.branches[branch]]


@dataclass
class PullRequest:
    """A pull request."""

    number: int
    base: str
    head_repo: str
    head_branch: str
    title: str
    body: str
    user: str
    state: str = "open"
    merged: bool = False
    labels: list[str] = field(default_factory=list)


@dataclass
class Fault:
    """What happens to matching requests instead of, or after, what should."""

    method: str
    path: str
    """A regular expression that the whole path has to match."""
    status: int | None = None
    """The answer's status; without one the connection is closed."""
    message: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    """The answer's body, in place of JSON with the message."""
    after: bool = False
    """Whether the request is carried out first: then only its answer is lost."""
    times: int = 1

    def hits(self, method: str, path: str) -> bool:
        """Whether it applies, using it up."""
        if self.times and method == self.method and re.fullmatch(self.path, path):
            self.times -= 1
            return True
        return False


@dataclass
class State:
    """Everything."""

    tokens: dict[str, str] = field(default_factory=dict)
    """Token → login."""
    repositories: dict[str, Repository] = field(default_factory=dict)
    pulls: dict[str, list[PullRequest]] = field(default_factory=dict)
    """Repository → its pull requests."""
    moved: dict[str, str] = field(default_factory=dict)
    """Former name of a repository → its name now."""
    faults: list[Fault] = field(default_factory=list)
    slow_forks: bool = False
    """Whether a fork's git objects cannot be written when it has just been made."""
    requests: list[tuple[str, str, Any]] = field(default_factory=list)
    """Every request: method, path, body."""

    def add(self, full_name: str, **fields: Any) -> Repository:
        """Add a repository."""
        repository = self.repositories[full_name] = Repository(full_name, **fields)
        self.pulls[full_name] = []
        return repository

    def writes(self) -> list[tuple[str, str]]:
        """Method and path of all requests that ask for a change."""
        return [(method, path) for method, path, _ in self.requests if method != "GET"]
