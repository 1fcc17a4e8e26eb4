"""The command line, ``mgym``: a module for each command, imported when the command is called.

A command reads options, calls what does the work, and prints; no other room imports this one. `COMMANDS` is the tree.

Exit codes: 0 done; 1 the job or the request failed or was refused; 2 wrong use, or a file that cannot be read; 3
nothing of that name; 4 a server is away, trying again later may help; 5 not finished yet (`job poll --no-wait`); 6 held
until an operator decides (`job resolve`); 70 a defect of ours; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import atexit
import gc
import io
import logging
import os
import sys
from typing import Annotated, Any, NoReturn, cast

import typer
from typer.core import TyperGroup

from metriq_gym.cli.lazy import commands, group, load
from metriq_gym.parts import refuse_namesake

COMMANDS: dict[str, Any] = {
    **commands(
        "metriq_gym.cli",
        {
            "run": ("run:run", "Run a benchmark and print its result."),
            "circuit": ("circuit:circuit", "Run a circuit and print its counts."),
            "watch": ("watch:watch", "Print what happens to jobs as it happens."),
            "console": ("console:console", "Serve the console, a web page and an HTTP API."),
            "dashboard": ("console:console", "Serve the console, a web page and an HTTP API."),
        },
    ),
    "job": group(
        "job",
        "Dispatch jobs and look after them.",
        commands(
            "metriq_gym.cli.job",
            {
                "dispatch": ("dispatch:dispatch", "Hand a benchmark to a device, print its id."),
                "poll": ("poll:poll", "Wait for a job and print its result."),
                "view": ("view:view", "Print a job and its result."),
                "list": ("list:list_", "List jobs, newest first."),
                "compare": ("compare:compare", "Compare the results of two jobs of one benchmark."),
                "rerun": ("rerun:rerun", "Request once more what a job was, print the new job's id."),
                "delete": ("delete:delete", "Delete jobs that have ended."),
                "upload": ("upload:upload", "Publish the record of a job that has ended."),
                "estimate": ("estimate:estimate", "Say what a job would ask of a device."),
                "replay": ("replay:replay", "Score a job again from its counts alone."),
                "cancel": ("cancel:cancel", "Cancel a job."),
                "resume": ("resume:resume", "Let a job that failed go on where it stopped."),
                "retry": ("retry:retry", "Begin anew what failed, many at once."),
                "resolve": ("resolve:resolve", "Decide about a held job."),
                "history": ("history:history", "Print every state a job has been in."),
            },
        ),
    ),
    "suite": group(
        "suite",
        "Dispatch suites of benchmarks and look after them.",
        commands(
            "metriq_gym.cli.suite",
            {
                "dispatch": ("dispatch:dispatch", "Hand a suite to a device, print its run's id."),
                "poll": ("poll:poll", "Wait for a suite and print its scores."),
                "view": ("view:view", "Print a suite's jobs and their scores."),
                "list": ("list:list_", "List runs of suites, and the suites there are."),
                "cancel": ("cancel:cancel", "Cancel the jobs of a suite that have not ended."),
                "delete": ("delete:delete", "Delete a suite that has ended."),
                "upload": ("upload:upload", "Publish the records of a suite."),
                "close": ("close:close", "Upload what there is of a suite, or drop it."),
            },
        ),
    ),
    "schedule": group(
        "schedule",
        "Run benchmarks again and again.",
        commands(
            "metriq_gym.cli",
            {
                "add": ("schedule:add", "Run a benchmark or a suite whenever its time comes."),
                "list": ("schedule:list_", "List schedules."),
                "show": ("schedule:show", "Print a schedule and what became of its last ticks."),
                "next": ("schedule:next_", "Print when a schedule runs next."),
                "pause": ("schedule:pause", "Let a schedule rest."),
                "resume": ("schedule:resume", "Let a schedule that rests go on."),
                "run": ("schedule:run", "Run a schedule's benchmark or suite now."),
                "delete": ("schedule:delete", "Delete a schedule, and none of its jobs."),
            },
        ),
    ),
    "plot": group(
        "plot",
        "Draw jobs, suites and metrics over time.",
        commands(
            "metriq_gym.cli",
            {
                "job": ("plot:job", "Draw what a job found, or its counts."),
                "suite": ("plot:suite", "Draw the scores of a suite."),
                "history": ("plot:history", "Draw a metric of many jobs over time."),
            },
        ),
    ),
    **commands(
        "metriq_gym.cli",
        {
            "devices": ("devices:devices", "List devices."),
            "benchmarks": ("benchmarks:benchmarks", "List benchmarks, parameters and examples."),
            "schema": ("benchmarks:schema", "Print the JSON Schema of a configuration."),
            "results": ("results:results", "Print results as a tidy table, one row a metric."),
            "trend": ("trend:trend", "Say which metrics of a device have drifted."),
            "status": ("status:status", "Say how the work stands."),
            "doctor": ("doctor:doctor", "Check what the work needs, say what to mend."),
            "stop": ("stop:stop", "Stop the private database that waits for the next command."),
            "backup": ("backup:backup", "Write the whole store to a file."),
            "restore": ("backup:restore", "Make a new store from a backup."),
            "purge": ("purge:purge", "Forget what is old: circuits, counts, jobs, ticks, letters."),
            "import": ("imports:import_", "Take over metriq-gym's jobs, or records of the dataset."),
        },
    ),
    "dead": group(
        "dead",
        "Look after messages that were given up.",
        commands(
            "metriq_gym.cli",
            {
                "list": ("dead:list_", "List dead letters, the oldest first."),
                "show": ("dead:show", "Print letters with their traceback and body."),
                "replay": ("dead:replay", "Hand letters back to the service that gave them up."),
                "drop": ("dead:drop", "Delete letters for good."),
            },
        ),
    ),
    "notify": group(
        "notify",
        "Tell of jobs that have ended.",
        commands("metriq_gym.cli", {"test": ("notify:test", "Send a notification by each way that is set.")}),
    ),
    "service": group(
        "service",
        "Run the services.",
        commands("metriq_gym.cli", {"run": ("service:run", "Run services in one process until SIGTERM or Ctrl-C.")}),
    ),
    "tyxonq": group(
        "tyxonq",
        "About TyxonQ's cloud.",
        commands(
            "metriq_gym.cli",
            {
                "tasks": ("tasks:tasks", "List the tasks of this token at TyxonQ."),
                "task": ("tasks:task", "Print all that TyxonQ says of a task."),
                "probe": ("tyxonq:probe", "Ask a live TyxonQ service what no page tells."),
            },
        ),
    ),
}
"""Every command by its name; a purpose is the first sentence of the function's docstring, which a test compares."""


class _Root(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands.update(COMMANDS)


app = typer.Typer(
    name="mgym",
    cls=_Root,
    help="Metriq-Gym CLI: quantum benchmarks as an event-driven service.",
    epilog="Exit codes: 0 done, 1 failed or refused, 2 wrong use, 3 nothing of that name, 4 a server is away, "
    "5 not finished yet, 6 held until an operator decides, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(load("metriq_gym:__version__"))
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show logs, and tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    """Send logs to standard error with ``--debug``, and nowhere without: errors come as messages.

    Without it, `session.quiet` does the rest, in those commands that use what logs.
    """
    if debug or os.environ.get("METRIQ_LOG_LEVEL") == "debug":
        load("metriq_gym.telemetry.logs:configure")("mgym", "debug", sys.stderr)
    else:
        logging.disable(logging.CRITICAL)


_LIBRARY = {
    "JobManager": "metriq_gym.job_manager:JobManager",
    "MetriqGymJob": "metriq_gym.job_manager:MetriqGymJob",
    "LIST_JOBS_HEADERS": "metriq_gym.cli.listing:LIST_JOBS_HEADERS",
    "list_jobs": "metriq_gym.cli.listing:list_jobs",
    "prompt_for_job": "metriq_gym.cli.listing:prompt_for_job",
}


def __getattr__(name: str) -> Any:
    """Return what scripts written for metriq-gym find here, imported when they ask.

    Raises
    ------
    AttributeError
        For any other name.
    """
    if name in _LIBRARY:
        return load(_LIBRARY[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def main() -> None:
    """Run the command line; an error is a message that says what to do, not a traceback."""
    # What is imported stays: to look for garbage in it, again and again and at the end, is a quarter of a command.
    gc.set_threshold(50_000)
    atexit.register(gc.freeze)
    try:
        refuse_namesake()
        sys.exit(app(prog_name="mgym", standalone_mode=False))
    except KeyboardInterrupt:
        sys.exit(130)
    except typer.Abort:
        typer.echo("Aborted!", err=True)
        sys.exit(1)
    except typer.TyperException as error:
        _end(_usage(error), error.exit_code)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        message, code = load("metriq_gym.cli.errors:explain")(error)
        _end(f"error: {message}", code)
    finally:
        if "metriq_gym.store.mongo" in sys.modules:
            load("metriq_gym.store.mongo:leave_at_once")()


def _usage(error: typer.TyperException) -> str:
    """Return what is to be said of a command line that cannot be meant like that."""
    text = io.StringIO()
    cast("Any", error).show(text)
    return text.getvalue().rstrip("\n")


def _end(message: str, code: int) -> NoReturn:
    load("metriq_gym.cli.output:say")(message)
    sys.exit(code)
