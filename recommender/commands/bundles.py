"""List, roll back, prune and compact published generations."""

from typing import Annotated, Any

import typer

from recommender.commands import options
from recommender.commands.shared import emit


def list_generations(bundles: options.BundleList, as_json: options.AsJson = False) -> None:
    """List the published generations, newest last.

    An asterisk marks the current one; each is shown with how many of 100 shoppers
    find something they later chose, at its last fit, and with the one that it
    replaced, or that it compacts.
    """
    from recommender.bundle import current, generations, lineage_of, published

    current_name = published(bundles) or current(bundles)
    rows = [
        {
            "generation": m.generation,
            "created_at": m.created_at,
            "n": m.n,
            "current": m.generation == current_name,
            "previous": (lineage := lineage_of(bundles, m.generation)).previous,
            "compacted": lineage.compacted,
            "hit_rate": _hit_rate(m.metrics, "hybrid"),
            "best_sellers": _hit_rate(m.metrics, "popularity"),
        }
        for m in generations(bundles)
    ]
    emit({"generations": rows}, "\n".join(map(_line, rows)), as_json)


def _line(row: dict[str, Any]) -> str:
    mark, before = "*" if row["current"] else " ", ""
    if row["compacted"]:
        before = f", compacts {row['compacted']}"
    elif row["previous"]:
        before = f", replaced {row['previous']}"
    found = "not evaluated"
    if row["hit_rate"] is not None and row["best_sellers"] is not None:
        found = (
            f"{100 * row['hit_rate']:.1f} of 100 shoppers find, {100 * row['best_sellers']:.1f} by best sellers"
        )
    return f"{mark} {row['generation']}  {row['n']:,} products, {found}{before}"


def _hit_rate(metrics: dict[str, Any], ranker: str) -> float | None:
    """Return the hit rate of a ranker; read here without the libraries of the evaluation."""
    figures = (metrics.get("evaluation") or {}).get("rankers", {}).get(ranker, {})
    mean: float | None = figures.get("all", {}).get("hit_rate", {}).get("mean")
    return mean


def rollback(
    bundles: options.BundleList,
    generation: Annotated[
        str | None, typer.Argument(help="Its name. [default: the one before the last fit or update]")
    ] = None,
    as_json: options.AsJson = False,
) -> None:
    """Take back the last fit or update.

    However many generations it made. A second rollback takes back the one before. With a name, that generation is
    made current, also one that was taken back.
    """
    from recommender.bundle import lineage_of, published, rollback

    before = published(bundles) if generation is None else None
    name = rollback(bundles, generation)
    lines = [f"{name} is current"]
    if before is not None:
        previous = lineage_of(bundles, name).previous
        again = "this is the oldest" if previous is None else f"another rollback goes further back, to {previous}"
        lines += [f"taken back: {before}, which its name makes current again", again]
    emit({"generation": name}, "\n".join(lines), as_json)


def prune(
    bundles: options.BundleList,
    keep: Annotated[int, typer.Option("--keep", help="Number of newest generations to retain.")] = 2,
    as_json: options.AsJson = False,
) -> None:
    """Remove old generations.

    The current one, those that a rollback from it needs and those that a process has open stay. An update counts
    as one.
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
