"""Compare two generations: metrics with paired intervals, overlap of their answers, and what changed most."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from recommender.bundle import generations
from recommender.errors import RequestError
from recommender.evaluation.ablation import MIN_QUERIES
from recommender.evaluation.bootstrap import Interval
from recommender.evaluation.stored import COLD_SHARE, PART, PairedDifference, paired
from recommender.events import Event, as_events

if TYPE_CHECKING:
    from recommender.recommender import Recommender

K = 12
SAMPLE = 300  # products, and users, whose answers are compared
CHANGED = 10
_METRICS = {
    "hit rate": ("hit_rate", "all"),
    "recall": ("recall", "all"),
    "ndcg": ("ndcg", "all"),
    "mrr": ("mrr", "all"),
    "recall among new products": ("recall", "cold"),
    "share of places of new products": (COLD_SHARE, "all"),
}
_WALK = 3  # products of a synthetic history


@dataclass(frozen=True)
class ChangedAnswer:
    """The answers of two generations to one request.

    Attributes
    ----------
    kind, name
        Of a product, by its id, or of a user.
    seeds
        Ids of the product, or the latest of the user's history.
    before, after
        Ids that either generation recommends, best first.
    overlap
        Share of the longer list that the other has, too.
    """

    kind: Literal["product", "user"]
    name: str
    seeds: tuple[str, ...]
    before: tuple[str, ...]
    after: tuple[str, ...]
    overlap: float


@dataclass(frozen=True, repr=False)
class Comparison:
    """Two generations side by side.

    Attributes
    ----------
    before, after
        Opened generations.
    metrics
        Metric of the hybrid to its paired difference on the shoppers that both evaluations have; {} without any.
    unmeasured
        Why there are no metrics, "" if there are.
    overlap
        "product" and "user" to the mean share of a list of 12 that both generations have.
    compared
        The same to the number of requests.
    changed
        The ten products and the ten users with the least overlap, without equal lists.
    synthetic
        Whether the users' histories are random walks over similar products, not those of real users.
    """

    before: "Recommender"
    after: "Recommender"
    metrics: Mapping[str, PairedDifference]
    unmeasured: str
    overlap: Mapping[str, float]
    compared: Mapping[str, int]
    changed: tuple[ChangedAnswer, ...]
    synthetic: bool

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: what ``recommender compare --json`` prints."""
        return {
            "before": self.before.generation,
            "after": self.after.generation,
            "metrics": {name: asdict(value) for name, value in self.metrics.items()},
            "unmeasured": self.unmeasured,
            "overlap": dict(self.overlap),
            "compared": dict(self.compared),
            "synthetic_users": self.synthetic,
            "changed": [asdict(answer) for answer in self.changed],
        }

    def to_frame(self) -> pd.DataFrame:
        """Return one row per metric: queries, before, after, difference, low and high (95 %), verdict."""
        rows = {
            name: {
                "queries": value.queries,
                "before": value.first,
                "after": value.second,
                "difference": value.difference.mean,
                "low": value.difference.low,
                "high": value.difference.high,
                "verdict": verdict(value.difference),
            }
            for name, value in self.metrics.items()
        }
        columns = ["queries", "before", "after", "difference", "low", "high", "verdict"]
        return pd.DataFrame.from_dict(rows, orient="index", columns=columns)

    def __repr__(self) -> str:
        return f"<Comparison: {self.before.generation} before, {self.after.generation} after>"

    def _repr_html_(self) -> str:
        from recommender.pages.comparison_page import comparison_html

        return comparison_html(self)


def compare_generations(
    before: "Recommender", after: "Recommender", histories: Mapping[str, Sequence[Event]] | None = None
) -> Comparison:
    """Compare two generations, see `Recommender.compare`."""
    shared = [item_id for item_id in after.ids if item_id in before]
    if not shared:
        raise RequestError("the generations share no product; compare two of one shop")
    items = _sample(shared)
    similar = [rec.similar_many(items, K).item_ids for rec in (before, after)]
    products = _changes("product", dict(zip(items, ([each] for each in items), strict=True)), *similar)
    known = _walks(items, similar[0]) if histories is None else _known(histories, set(shared))
    names = _sample(list(known))
    lists = [rec.recommend_many([known[name] for name in names], K).item_ids for rec in (before, after)]
    seeds = {name: [*dict.fromkeys(event.item_id for event in reversed(known[name]))] for name in names}
    users = _changes("user", seeds, *lists)
    metrics, unmeasured = metric_differences(before, after)
    overlaps = {kind: [each.overlap for each in group] for kind, group in (("product", products), ("user", users))}
    return Comparison(
        before,
        after,
        metrics,
        unmeasured,
        {kind: round(float(np.mean(values)), 4) for kind, values in overlaps.items() if values},
        {kind: len(values) for kind, values in overlaps.items()},
        (*_most_changed(products), *_most_changed(users)),
        histories is None,
    )


def metric_differences(before: "Recommender", after: "Recommender") -> tuple[dict[str, PairedDifference], str]:
    """Return the paired difference of each metric of the hybrid, after less before; and why if there are none."""
    stored = before.evaluation_queries(), after.evaluation_queries()
    for rec, each in zip((before, after), stored, strict=True):
        if each is None:
            return {}, f"{rec.generation} was published without an evaluation"
    first, second = stored
    assert first is not None
    assert second is not None
    found: dict[str, PairedDifference] = {}
    why = ""
    for name, (metric, candidates) in _METRICS.items():
        if metric in first.metrics and metric in second.metrics:
            try:
                difference = paired(first, second, metric, candidates=candidates)
            except RequestError as error:  # such as no shared shopper who chose a new product
                why = why or str(error)
                continue
            if difference.queries >= MIN_QUERIES:
                found[name] = difference
    return found, "" if found else why or f"the evaluations share fewer than {MIN_QUERIES} shoppers"


def earlier_evaluated(recommender: "Recommender") -> str | None:
    """Return the newest generation before this one that has an evaluation of its own; None if there is none."""
    own = recommender.manifest.parts.get(PART, {}).get("path")
    earlier = None
    for manifest in generations(recommender.bundle.root):
        if manifest.generation == recommender.generation:
            break
        if PART in manifest.parts and manifest.parts[PART]["path"] != own:
            earlier = manifest.generation
    return earlier if own else None


def verdict(difference: Interval) -> str:
    """Return whether a paired difference is one: its 95 % interval excludes 0."""
    return "higher" if difference.low > 0 else "lower" if difference.high < 0 else "not told apart"


def overlap(before: Sequence[str], after: Sequence[str]) -> float:
    """Return the share of the longer list that the other has, too; 1 of two empty lists."""
    longest = max(len(before), len(after))
    return len({*before} & {*after}) / longest if longest else 1.0


def _sample(names: Sequence[str]) -> list[str]:
    """Return evenly spaced names."""
    return (
        [names[position] for position in np.unique(np.linspace(0, len(names) - 1, SAMPLE).astype(int))]
        if names
        else []
    )


def _changes(
    kind: Literal["product", "user"], seeds: Mapping[str, Sequence[str]], before: np.ndarray, after: np.ndarray
) -> list[ChangedAnswer]:
    answers = []
    for (name, own), left, right in zip(seeds.items(), before.tolist(), after.tolist(), strict=True):
        first, second = (tuple(item_id for item_id in row if item_id is not None) for row in (left, right))
        answers.append(ChangedAnswer(kind, name, tuple(own[:5]), first, second, round(overlap(first, second), 4)))
    return answers


def _most_changed(answers: Sequence[ChangedAnswer]) -> Iterator[ChangedAnswer]:
    changed = [answer for answer in answers if answer.overlap < 1]
    yield from sorted(changed, key=lambda answer: answer.overlap)[:CHANGED]


def _walks(items: Sequence[str], lists: np.ndarray) -> dict[str, Sequence[Event]]:
    """Return synthetic histories: each a product and some of its similar ones, drawn with a fixed seed."""
    generator = np.random.default_rng(0)
    histories: dict[str, Sequence[Event]] = {}
    for number, (item_id, row) in enumerate(zip(items, lists.tolist(), strict=True), 1):
        similar = [other for other in row if other is not None]
        drawn = generator.permutation(len(similar))[: _WALK - 1].tolist()
        histories[f"synthetic {number}"] = as_events([item_id, *(similar[position] for position in drawn)])
    return histories


def _known(histories: Mapping[str, Sequence[Event]], shared: set[str]) -> dict[str, Sequence[Event]]:
    """Return the histories' events of products that both generations have, without empty histories."""
    known = {user: [event for event in history if event.item_id in shared] for user, history in histories.items()}
    return {user: events for user, events in known.items() if events}
