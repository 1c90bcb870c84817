"""The command line. It composes the library, its training and its serving.

Heavy modules are imported inside the command that needs them, so that `recommender --help` is quick. Answers go to
stdout; progress and notices go to stderr.
"""

import os
import sys
from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from recommender.commands import (
    ask,
    benchmark,
    bundles,
    compare,
    events,
    experiments,
    learn,
    placements,
    quality,
    serve,
    write,
)
from recommender.errors import RecommenderError, full_installation
from recommender.progress import print_notices
from recommender.version import __version__

_PLAIN: dict[str, Any] = {"rich_markup_mode": None, "no_args_is_help": True, "add_completion": False}


class CommandPanels(TyperGroup):
    """Shows the commands under the title of their panel, in the plain look of the rest of the help."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write a section of the help for each panel."""
        panels: dict[str, list[tuple[str, str]]] = {}
        names = [name for name in self.list_commands(ctx) if not self.commands[name].hidden]
        limit = formatter.width - 6 - max(map(len, names))
        for name in names:
            panel = getattr(self.commands[name], "rich_help_panel", None)
            title = panel if isinstance(panel, str) else "Commands"
            panels.setdefault(title, []).append((name, self.commands[name].get_short_help_str(limit)))
        for title, rows in panels.items():
            with formatter.section(title):
                formatter.write_dl(rows)


app = typer.Typer(cls=CommandPanels, pretty_exceptions_enable=False, **_PLAIN)


def _add(group: typer.Typer, commands: dict[str, Callable[..., None]], panel: str | None = None) -> None:
    for name, command in commands.items():
        group.command(name, rich_help_panel=panel)(command)


def _group(
    parent: typer.Typer, name: str, help: str, commands: dict[str, Callable[..., None]], panel: str | None = None
) -> typer.Typer:
    group = typer.Typer(help=help, **_PLAIN)
    _add(group, commands)
    parent.add_typer(group, name=name, rich_help_panel=panel)
    return group


_FILES, _QUALITY, _ANSWERS, _OPERATION = "From files to a bundle", "Quality", "Recommendations", "Operation"
_add(
    app,
    {
        "demo": serve.demo,
        "init": learn.init,
        "validate": learn.validate,
        "encode": learn.encode,
        "fit": learn.fit,
        "update": learn.update,
        "refresh": learn.refresh,
    },
    _FILES,
)
_add(
    app,
    {"evaluate": learn.evaluate, "compare": compare.compare, "report": write.report, "map": write.map_products},
    _QUALITY,
)
_add(
    app, {"similar": ask.similar, "recommend": ask.recommend, "search": ask.search, "batch": write.batch}, _ANSWERS
)
_add(app, {"serve": serve.serve, "mcp": serve.mcp, "key": serve.key}, _OPERATION)
_group(
    app,
    "events",
    "Import events, export logged answers.",
    {"import": events.import_events, "answers": events.export_answers},
    _OPERATION,
)
_group(app, "experiments", "Plan experiments.", {"power": experiments.power}, _QUALITY)
_group(
    app,
    "bundles",
    "List, roll back, prune and compact generations.",
    {
        "list": bundles.list_generations,
        "rollback": bundles.rollback,
        "prune": bundles.prune,
        "compact": bundles.compact,
    },
    _OPERATION,
)
_group(
    app,
    "placements",
    "Export and import placements and collections.",
    {"export": placements.export, "import": placements.import_file},
    _OPERATION,
)
_benchmark = _group(
    app,
    "benchmark",
    "Measure quality, speed, memory and robustness.",
    {
        "retrieval": benchmark.retrieval,
        "serve": benchmark.serve,
        "limits": benchmark.limits,
        "faults": benchmark.faults,
        "scale": benchmark.scale,
        "encode": benchmark.encode,
        "batch": benchmark.batch,
        "architecture": benchmark.architecture,
        "rules": benchmark.rules,
        "markets": benchmark.markets,
        "answers": benchmark.answers,
    },
    _QUALITY,
)
_benchmark.callback()(benchmark.end_on_sigterm)
_group(
    _benchmark,
    "quality",
    "Measure recommendations by a protocol.",
    {
        "sequences": quality.sequences,
        "cold-start": quality.cold_start,
        "neighbours": quality.neighbours,
        "missing": quality.missing,
        "complementary": quality.complementary,
        "next-item": quality.next_item,
        "users": quality.users,
        "repeats": quality.repeats,
        "warm-starts": quality.warm_starts,
        "made-up-grocery": quality.made_up_grocery,
        "encoders": quality.encoders,
        "off-policy": quality.off_policy,
        "exploration": quality.exploration,
        "search": quality.search,
    },
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"recommender {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Recommend products from a shop's own files."""


def main() -> None:
    """Run the command line: exit code 0, 1 for an expected error, 2 for a wrong usage."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine, spinning makes torch ten times slower
    if "--json" in sys.argv:
        os.environ["TTY_COMPATIBLE"] = "0"  # rich then draws no bars
    print_notices()
    try:
        with full_installation("this command"):
            app(prog_name="recommender")
    except (RecommenderError, OSError) as error:
        typer.echo(f"recommender: {' '.join(str(error).split())}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
