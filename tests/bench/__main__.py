"""`python -m tests.bench [PART …] [--quick]`: measure and print tables; progress goes to standard error."""

from __future__ import annotations

import argparse

from tests.bench import backlog, celery_pipeline, cli, console, examples, fairness, pipeline, polling, speed
from tests.bench.report import show_machine

PARTS = {
    "pipeline": pipeline.run,
    "fairness": fairness.run,
    "celery": celery_pipeline.run,
    "examples": examples.run,
    "speed": speed.run,
    "cli": cli.run,
    "polling": polling.run,
    "console": console.run,
}
LONG = {"backlog": backlog.run}
"""Takes half an hour by itself, so it is run only where it is named."""


def main() -> None:
    """Run the parts that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description="Measure and print tables.")
    parser.add_argument(
        "parts",
        nargs="*",
        metavar="PART",
        help=f"any of {', '.join(PARTS | LONG)}; when none is named, all but {', '.join(LONG)}",
    )
    parser.add_argument("--quick", action="store_true", help="fewer repetitions, and the longest cases smaller")
    arguments = parser.parse_args()
    if unknown := set(arguments.parts) - set(PARTS | LONG):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(PARTS | LONG)}")
    show_machine()
    for name, run in (PARTS | LONG).items():
        if name in (arguments.parts or PARTS):
            run(quick=arguments.quick)


if __name__ == "__main__":
    main()
