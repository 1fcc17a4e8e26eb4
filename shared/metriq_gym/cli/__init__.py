"""The command line, ``mgym``. Each command imports what it needs, so that ``mgym --help`` answers at once.

Exit codes: 0 done; 1 the job or the request failed or was refused; 2 wrong use, or a file that cannot be read; 3
nothing of that name; 4 a server is away, trying again later may help; 5 not finished yet (`job poll --no-wait`); 6 held
until an operator decides (`job resolve`); 70 a defect of ours; 130 interrupted by Ctrl-C.
"""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from metriq_gym.cli import care, dead, jobs, look, running, services, suites, tyxonq

app = typer.Typer(
    name="mgym",
    help="Quantum benchmarks as an event-driven service.",
    epilog="Exit codes: 0 done, 1 failed or refused, 2 wrong use, 3 nothing of that name, 4 a server is away, "
    "5 not finished yet, 6 held until an operator decides, 130 interrupted.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(wanted: bool) -> None:
    if wanted:
        from metriq_gym import __version__

        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[bool, typer.Option("--debug", help="Show logs, and tracebacks of errors.")] = False,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    from metriq_gym.cli.output import configure_logs

    configure_logs(debug)


running.add_to(app)
app.add_typer(jobs.app, name="job")
app.add_typer(suites.app, name="suite")
look.add_to(app)
care.add_to(app)
app.add_typer(dead.app, name="dead")
app.add_typer(services.app, name="service")
app.add_typer(tyxonq.app, name="tyxonq")


def main() -> None:
    """Run the command line; an error is a message that says what to do, not a traceback."""
    try:
        app(prog_name="mgym")
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        from metriq_gym.cli.errors import explain

        message, code = explain(error)
        typer.echo(f"error: {message}", err=True)
        sys.exit(code)
