"""Look after published generations."""

from typing import Annotated

import typer

from recommender.commands import options
from recommender.commands.shared import emit


def list_generations(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """List the published generations, the newest last; the current one is marked."""
    from recommender.bundle import current, generations

    now = current(bundles)
    known = [
        {"generation": m.generation, "created_at": m.created_at, "n": m.n, "current": m.generation == now}
        for m in generations(bundles)
    ]
    lines = [f"{'*' if g['current'] else ' '} {g['generation']}  {g['n']:,} products" for g in known]
    emit({"generations": known}, "\n".join(lines), as_json)


def rollback(
    bundles: options.Bundles,
    generation: Annotated[str | None, typer.Argument(help="[default: the one before the current]")] = None,
    as_json: options.AsJson = False,
) -> None:
    """Make an older generation current."""
    from recommender.bundle import rollback

    now = rollback(bundles, generation)
    emit({"generation": now}, f"{now} is current", as_json)


def prune(
    bundles: options.Bundles,
    keep: Annotated[int, typer.Option("--keep", help="How many of the newest stay.")] = 2,
    as_json: options.AsJson = False,
) -> None:
    """Remove old generations; never the current one, nor one that a process has open."""
    from recommender.bundle import prune

    removed = prune(bundles, keep)
    emit({"removed": removed}, "\n".join(f"removed {name}" for name in removed) or "nothing to remove", as_json)


def compact(bundles: options.Bundles, as_json: options.AsJson = False) -> None:
    """Make one base of what updates have changed; they do it by themselves when much has."""
    from training.update.compact import compact

    now = compact(bundles)
    emit({"generation": now}, f"{now} is current", as_json)
