"""The command line, and the one place that composes the library, its training and its serving.

Whatever is heavy is imported inside the command that needs it, so that `recommender --help` is quick. Answers
go to stdout; progress and notices go to stderr.
"""

import os
import sys
from collections.abc import Callable
from typing import Any

import typer

from recommender.commands import ask, benchmark, bundles, events, learn, quality, serve, write
from recommender.errors import RecommenderError, full_installation
from recommender.progress import print_notices

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}
app = typer.Typer(help="Recommend products from a shop's own files.", pretty_exceptions_enable=False, **_PLAIN)


def _commands(into: typer.Typer, **commands: Callable[..., None]) -> None:
    for name, command in commands.items():
        into.command(name.replace("_", "-"))(command)


_commands(app, validate=learn.validate, encode=learn.encode, fit=learn.fit, update=learn.update)
_commands(app, evaluate=learn.evaluate)
_commands(app, similar=ask.similar, recommend=ask.recommend)
_commands(app, batch=write.batch, map=write.map_products, report=write.report)
_commands(app, serve=serve.serve, key=serve.key, demo=serve.demo)

_events = typer.Typer(help="Fill the event store.", **_PLAIN)
app.add_typer(_events, name="events")
_commands(_events, **{"import": events.import_events})

_bundles = typer.Typer(help="Look after published generations.", **_PLAIN)
app.add_typer(_bundles, name="bundles")
_commands(_bundles, list=bundles.list_generations, rollback=bundles.rollback)
_commands(_bundles, prune=bundles.prune, compact=bundles.compact)

_benchmark = typer.Typer(help="Measure quality, speed, memory and robustness.", **_PLAIN)
app.add_typer(_benchmark, name="benchmark")
_commands(_benchmark, retrieval=benchmark.retrieval, serve=benchmark.serve, faults=benchmark.faults)
_commands(_benchmark, scale=benchmark.scale, encode=benchmark.encode, batch=benchmark.batch)
_commands(_benchmark, architecture=benchmark.architecture)

_quality = typer.Typer(help="Measure the quality of recommendations by a protocol.", **_PLAIN)
_benchmark.add_typer(_quality, name="quality")
_commands(_quality, sequences=quality.sequences, neighbours=quality.neighbours, missing=quality.missing)
_commands(_quality, complementary=quality.complementary, encoders=quality.encoders)
_commands(_quality, cold_start=quality.cold_start, next_item=quality.next_item)


def main() -> None:
    """Run the command line: exit code 0, 1 for an expected error, 2 for a wrong usage."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine, spinning makes torch ten times slower
    if "--json" in sys.argv:
        os.environ["TTY_COMPATIBLE"] = "0"  # rich then draws no bars
    print_notices()
    try:
        with full_installation("this command"):
            app()
    except (RecommenderError, OSError) as error:
        typer.echo(f"recommender: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
