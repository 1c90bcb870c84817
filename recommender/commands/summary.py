"""The summary that `recommender fit` ends with: how good, how long, what next."""

import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recommender.recommender import Recommender

_STAGES = 3  # the longest ones are named


@dataclass(frozen=True)
class FitSummary:
    """Quality, time and next commands of a published generation.

    Parameters
    ----------
    generation, bundles
        What was published, and the folder it is in.
    quality
        By measure, such as recall@12: this recommender's mean with its 95 % interval, that of popularity, and the
        lead over it with its interval. Empty where there were too few events to measure it.
    answer
        Whether recommendations are better than best sellers, in a sentence; where this was not measured, why.
    retrieval_recall
        Recall@10 of the index against an exact scan: how fast search may be, not how good recommendations are.
    seconds
        Wall time.
    stages
        Seconds of each stage.
    next
        Commands to run.
    lost
        What of the shop's files could not be used, by shares; "" for nothing.
    ahead
        Which components and baselines have a higher recall than the whole; "" if none has.
    warm_start
        Where the fit started from a generation: which, how well that one predicted the new events, and whether a
        full fit is due.
    """

    generation: str
    bundles: str
    quality: dict[str, dict[str, Any]]
    answer: str
    retrieval_recall: float | None
    seconds: float
    stages: dict[str, float]
    next: list[str]
    lost: str = ""
    ahead: str = ""
    warm_start: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, rec: "Recommender", bundles: Path | str, seconds: float) -> "FitSummary":
        """Summarise an opened generation that took `seconds` to fit."""
        from recommender.evaluation.headline import better_than_best_sellers
        from recommender.evaluation.table import all_ahead

        metrics = rec.manifest.metrics
        folder = shlex.quote(str(bundles))
        return cls(
            rec.generation,
            str(bundles),
            _quality(metrics.get("evaluation") or {}),
            better_than_best_sellers(metrics).sentence,
            (metrics.get("recall") or {}).get("recall"),
            round(seconds, 1),
            dict(metrics.get("seconds") or {}),
            [f"recommender similar {folder} {shlex.quote(rec.ids[0])}", f"recommender serve {folder}"],
            metrics.get("lost", ""),
            " ".join(all_ahead(metrics.get("evaluation") or {})),
            metrics.get("warm_start") or {},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the summary for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """Return what was published, and lines of quality, time, next commands and what was lost."""
        longest = sorted(self.stages.items(), key=lambda stage: -stage[1])[:_STAGES]
        stages = ", ".join(f"{name} {_duration(seconds)}" for name, seconds in longest)
        return "\n".join(
            [
                f"published {self.generation} in {self.bundles}",
                *([self.ahead] if self.ahead else []),
                f"quality  {self._evaluated_last() if self.warm_start else self.answer}",
                *([self._start()] if self.warm_start else []),
                f"time     {_duration(self.seconds)}{f' ({stages})' if stages else ''}",
                f"next     {' or '.join(self.next)}",
                *([self.lost] if self.lost else []),
            ]
        )

    def _start(self) -> str:
        """Return what was started from, and how well it predicted what is new."""
        starts, due = self.warm_start["starts"], self.warm_start["due"]
        recall = "too few new events to measure it by"
        if starts:
            recall = f"its soft recall of the new events is {starts[-1]['soft_recall']:.3f}"
            recall += f" ({starts[0]['soft_recall']:.3f} after the last full fit)" if len(starts) > 1 else ""
        return f"from     {self.warm_start['from']}; {recall}{f'; A FULL FIT IS DUE: {due}' if due else ''}"

    def _evaluated_last(self) -> str:
        return f"evaluated by full fits alone; the last had events until {self.warm_start['full_fit_until']}"


def _quality(evaluation: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    rankers = evaluation.get("rankers", {})
    if not {"hybrid", "popularity"} <= rankers.keys():
        return {}
    own, popularity = rankers["hybrid"]["all"], rankers["popularity"]["all"]
    return {
        f"{measure}@{evaluation['k']}": {
            **{name: own[measure][name] for name in ("mean", "low", "high")},
            "popularity": popularity[measure]["mean"],
            "lead": popularity[measure]["hybrid_lead"],
        }
        for measure in ("recall", "ndcg")
        if own[measure]["mean"] is not None
    }


def _duration(seconds: float) -> str:
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"
