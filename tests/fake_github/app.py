"""The endpoints, as GitHub's REST reference (version 2022-11-28) describes them, as far as PyGithub uses them here."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from tests.fake_github.state import Fault, PullRequest, Repository, State
from tests.sandbox.delivery import DROP

Endpoint = Callable[[Request], Awaitable[Response]]


class Refusal(Exception):
    """An answer other than the wanted one."""

    def __init__(self, status: int, message: str, errors: list[dict[str, Any]] | None = None) -> None:
        self.status = status
        self.document = {"message": message, "documentation_url": "https://docs.github.com/rest", "status": str(status)}
        if errors:
            self.document |= {"errors": errors}  # type: ignore[dict-item]


NOT_FOUND = Refusal(404, "Not Found")


def invalid(resource: str, message: str) -> Refusal:
    """The form that validation errors of single fields have."""
    return Refusal(422, "Validation Failed", [{"resource": resource, "code": "custom", "message": message}])


class FakeGitHubApp:
    """The ASGI application over a `State`."""

    def __init__(self, state: State) -> None:
        self.state = state
        repo = "/repos/{owner}/{name}"
        self._routes = Starlette(
            routes=[
                Route("/user", self._guarded(self.user)),
                Route(repo, self._guarded(self.repository)),
                Route(f"{repo}/forks", self._guarded(self.fork), methods=["POST"]),
                Route(f"{repo}/merge-upstream", self._guarded(self.merge_upstream), methods=["POST"]),
                Route(f"{repo}/git/ref/heads/{{branch:path}}", self._guarded(self.ref)),
                Route(f"{repo}/git/refs", self._guarded(self.create_ref), methods=["POST"]),
                Route(f"{repo}/contents/{{path:path}}", self._guarded(self.contents)),
                Route(f"{repo}/contents/{{path:path}}", self._guarded(self.create_file), methods=["PUT"]),
                Route(f"{repo}/pulls", self._guarded(self.pulls)),
                Route(f"{repo}/pulls", self._guarded(self.create_pull), methods=["POST"]),
                Route(f"{repo}/issues/{{number:int}}/labels", self._guarded(self.add_labels), methods=["POST"]),
            ]
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        body = await request.body()
        method, path = request.method, request.url.path
        self.state.requests.append((method, path, json.loads(body) if body else None))
        fault = next((each for each in self.state.faults if each.hits(method, path)), None)

        async def again() -> Any:
            return {"type": "http.request", "body": body, "more_body": False}

        if fault is not None and not fault.after:
            await self._fail(fault, scope, receive, send)
        elif fault is not None:

            async def lost(_: Any) -> None:
                return

            await self._routes(scope, again, lost)
            await self._fail(fault, scope, receive, send)
        else:
            await self._routes(scope, again, send)

    async def _fail(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        if fault.status is None:
            scope["extensions"][DROP](False)
            return
        headers = dict(fault.headers)
        if fault.body is not None:
            await Response(fault.body, fault.status, headers)(scope, receive, send)
        else:
            await JSONResponse({"message": fault.message}, fault.status, headers)(scope, receive, send)

    def _guarded(self, endpoint: Endpoint) -> Endpoint:
        async def answer(request: Request) -> Response:
            try:
                scheme, _, token = request.headers.get("authorization", "").partition(" ")
                if scheme not in ("token", "Bearer") or token not in self.state.tokens:
                    raise Refusal(401, "Bad credentials")
                request.state.login = self.state.tokens[token]
                if (name := self._name(request)) in self.state.moved:
                    moved = request.url.path.replace(name, self.state.moved[name], 1)
                    return RedirectResponse(f"{self._base(request)}{moved}", 301)
                return await endpoint(request)
            except Refusal as refusal:
                return JSONResponse(refusal.document, refusal.status)

        return answer

    async def user(self, request: Request) -> Response:
        return JSONResponse({"login": request.state.login, "url": f"{self._base(request)}/users/x"})

    async def repository(self, request: Request) -> Response:
        return JSONResponse(self._repository(request, self._find(request)))

    async def fork(self, request: Request) -> Response:
        parent = self._find(request)
        login = request.state.login
        for each in self.state.repositories.values():
            if each.parent == parent.full_name and each.owner == login:
                return JSONResponse(self._repository(request, each), 202)
        name = parent.full_name.split("/")[1]
        while f"{login}/{name}" in self.state.repositories:
            name += "-1"
        made = self.state.add(
            f"{login}/{name}",
            default_branch=parent.default_branch,
            writers={login},
            parent=parent.full_name,
            ready=not self.state.slow_forks,
            branches=dict(parent.branches),
            commits=dict(parent.commits),
        )
        return JSONResponse(self._repository(request, made), 202)

    async def merge_upstream(self, request: Request) -> Response:
        fork = self._writable(request)
        if fork.parent is None or not fork.ready:
            raise invalid("Repository", "cannot be synced")
        branch = (await request.json())["branch"]
        parent = self.state.repositories[fork.parent]
        fork.commits |= parent.commits
        fork.branches[branch] = parent.branches[branch]
        fork.in_sync = True
        return JSONResponse({"message": "fast-forwarded", "merge_type": "fast-forward", "base_branch": branch})

    async def ref(self, request: Request) -> Response:
        repository = self._find(request)
        return self._ref(request, repository, request.path_params["branch"], 200)

    async def create_ref(self, request: Request) -> Response:
        repository = self._writable(request)
        body = await request.json()
        branch = body["ref"].removeprefix("refs/heads/")
        if not repository.ready:
            raise Refusal(409, "Git Repository is empty.")
        if branch in repository.branches:
            raise Refusal(422, "Reference already exists")
        if not repository.in_sync:
            raise NOT_FOUND
        known = repository.commits
        if repository.parent is not None:
            known = self.state.repositories[repository.parent].commits | known
        if body["sha"] not in known:
            raise Refusal(422, "Object does not exist")
        repository.commits[body["sha"]] = known[body["sha"]]
        repository.branches[branch] = body["sha"]
        return self._ref(request, repository, branch, 201)

    async def contents(self, request: Request) -> Response:
        repository, path = self._find(request), request.path_params["path"]
        branch = request.query_params.get("ref", repository.default_branch)
        if branch not in repository.branches:
            raise Refusal(404, f"No commit found for the ref {branch}")
        files = repository.files(branch)
        if path not in files:
            raise NOT_FOUND
        return JSONResponse(self._content(request, path, files[path]))

    async def create_file(self, request: Request) -> Response:
        repository, path = self._writable(request), request.path_params["path"]
        body = await request.json()
        branch = body["branch"]
        if branch not in repository.branches:
            raise Refusal(404, f"Branch {branch} not found")
        files = repository.files(branch)
        if path in files and "sha" not in body:
            raise Refusal(422, 'Invalid request.\n\n"sha" wasn\'t supplied.')
        content = base64.b64decode(body["content"])
        sha = repository.commit({**files, path: content}, body["message"])
        repository.branches[branch] = sha
        commit = {"sha": sha, "url": f"{self._base(request)}/commits/{sha}", "message": body["message"]}
        return JSONResponse({"content": self._content(request, path, content), "commit": commit}, 201)

    async def pulls(self, request: Request) -> Response:
        repository = self._find(request)
        query = request.query_params
        found = [
            pull
            for pull in self.state.pulls[repository.full_name]
            if query.get("state", "open") in ("all", pull.state)
            and query.get("base", pull.base) == pull.base
            and query.get("head", self._head(pull)) == self._head(pull)
        ]
        return JSONResponse([self._pull(request, repository, pull) for pull in reversed(found)])

    async def create_pull(self, request: Request) -> Response:
        repository = self._find(request)
        body = await request.json()
        owner, _, branch = body["head"].rpartition(":")
        heads = [
            each
            for each in self.state.repositories.values()
            if each.owner == (owner or repository.owner) and repository.full_name in (each.full_name, each.parent)
        ]
        if not heads or branch not in heads[0].branches:
            raise Refusal(422, "Validation Failed", [{"resource": "PullRequest", "field": "head", "code": "invalid"}])
        if heads[0].files(branch) == repository.files(body["base"]):
            raise invalid("PullRequest", f"No commits between {body['base']} and {branch}")
        pulls = self.state.pulls[repository.full_name]
        made = PullRequest(
            number=len(pulls) + 1,
            base=body["base"],
            head_repo=heads[0].full_name,
            head_branch=branch,
            title=body["title"],
            body=body["body"],
            user=request.state.login,
        )
        if any(each.state == "open" and self._head(each) == self._head(made) for each in pulls):
            raise invalid("PullRequest", f"A pull request already exists for {self._head(made)}.")
        pulls.append(made)
        return JSONResponse(self._pull(request, repository, made), 201)

    async def add_labels(self, request: Request) -> Response:
        repository = self._find(request)
        if request.state.login not in repository.writers | repository.triagers:
            raise Refusal(403, "Must have admin rights to Repository.")
        pull = self.state.pulls[repository.full_name][request.path_params["number"] - 1]
        body = await request.json()
        names = body if isinstance(body, list) else body["labels"]
        pull.labels += [name for name in names if name not in pull.labels]
        return JSONResponse([{"name": name} for name in pull.labels])

    def _name(self, request: Request) -> str:
        return "/".join(request.path_params.get(part, "") for part in ("owner", "name"))

    def _find(self, request: Request) -> Repository:
        name = self._name(request).lower()
        for full_name, repository in self.state.repositories.items():
            if full_name.lower() == name:
                return repository
        raise NOT_FOUND

    def _writable(self, request: Request) -> Repository:
        repository = self._find(request)
        if request.state.login not in repository.writers:
            raise NOT_FOUND
        if repository.archived:
            raise Refusal(403, "Repository was archived so is read-only.")
        return repository

    def _base(self, request: Request) -> str:
        return str(request.base_url).rstrip("/")

    def _head(self, pull: PullRequest) -> str:
        return f"{pull.head_repo.split('/')[0]}:{pull.head_branch}"

    def _repository(self, request: Request, repository: Repository) -> dict[str, Any]:
        login, name = request.state.login, repository.full_name
        return {
            "name": name.split("/")[1],
            "full_name": name,
            "owner": {"login": repository.owner, "url": f"{self._base(request)}/users/{repository.owner}"},
            "url": f"{self._base(request)}/repos/{name}",
            "html_url": f"https://github.test/{name}",
            "fork": repository.parent is not None,
            "archived": repository.archived,
            "default_branch": repository.default_branch,
            "permissions": {"admin": False, "push": login in repository.writers, "pull": True},
        }

    def _ref(self, request: Request, repository: Repository, branch: str, status: int) -> Response:
        if branch not in repository.branches:
            raise NOT_FOUND
        url = f"{self._base(request)}/repos/{repository.full_name}/git"
        sha = repository.branches[branch]
        return JSONResponse(
            {
                "ref": f"refs/heads/{branch}",
                "url": f"{url}/refs/heads/{branch}",
                "object": {"type": "commit", "sha": sha, "url": f"{url}/commits/{sha}"},
            },
            status,
        )

    def _content(self, request: Request, path: str, content: bytes) -> dict[str, Any]:
        return {
            "type": "file",
            "encoding": "base64",
            "size": len(content),
            "name": path.rsplit("/", 1)[-1],
            "path": path,
            "content": base64.b64encode(content).decode(),
            "sha": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest(),
            "url": str(request.url),
        }

    def _pull(self, request: Request, repository: Repository, pull: PullRequest) -> dict[str, Any]:
        url = f"{self._base(request)}/repos/{repository.full_name}"
        return {
            "number": pull.number,
            "state": pull.state,
            "title": pull.title,
            "body": pull.body,
            "labels": [{"name": name} for name in pull.labels],
            "url": f"{url}/pulls/{pull.number}",
            "issue_url": f"{url}/issues/{pull.number}",
            "html_url": f"https://github.test/{repository.full_name}/pull/{pull.number}",
            "merged_at": "2026-11-20T00:00:00Z" if pull.merged else None,
            "user": {"login": pull.user},
            "head": {"ref": pull.head_branch, "label": self._head(pull)},
            "base": {"ref": pull.base, "label": f"{repository.owner}:{pull.base}"},
        }
