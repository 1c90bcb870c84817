"""List, roll back, prune and compact published generations."""

from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit


def list_generations(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """List the published generations, newest last.

    An asterisk marks the current one.
    """
    from recommender.bundle import current, generations

    current_name = current(bundles)
    rows = [
        {"generation": m.generation, "created_at": m.created_at, "n": m.n, "current": m.generation == current_name}
        for m in generations(bundles)
    ]
    lines = [f"{'*' if g['current'] else ' '} {g['generation']}  {g['n']:,} products" for g in rows]
    emit({"generations": rows}, "\n".join(lines), as_json)


def rollback(
    bundles: options.Bundles,
    generation: Annotated[
        str | None, typer.Argument(help="Its name. [default: the one before the current]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make an older generation current."""
    from recommender.bundle import rollback

    name = rollback(bundles, generation)
    emit({"generation": name}, f"{name} is current", as_json)


def prune(
    bundles: options.Bundles,
    keep: Annotated[int, typer.Option("--keep", help="Number of newest generations to retain.")] = 2,
    as_json: options.AsJson = False,
) -> None:
    """Remove old generations.

    The current one and those that a process has open stay.
    """
    from recommender.bundle import prune

    removed = prune(bundles, keep)
    emit({"removed": removed}, "\n".join(f"removed {name}" for name in removed) or "nothing to remove", as_json)


def compact(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Merge the base and its updates into a new base.

    Updates do so by themselves when much has changed.
    """
    from training.update.compact import compact

    name = compact(bundles)
    emit({"generation": name}, f"{name} is current", as_json)
