"""Off-policy estimates where the truth is known: two logged policies of one shop, and simulated shops."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from recommender.core.blocks import Double
from recommender.errors import DataError
from recommender.evaluation.off_policy import OffPolicyReport, off_policy

POLICIES, CAMPAIGNS = ("random", "bts"), ("men", "women")
BOOTSTRAPS = 300
# What the logging and the evaluated policy divide scores by: small for sharp policies, whose weights are large.
SHOPS: dict[str, dict[str, Any]] = {
    "many clicks": {"visits": 400, "rate": 0.08, "logging": 1.5, "evaluated": 1.0},
    "few clicks": {"visits": 2000, "rate": 0.01, "logging": 1.5, "evaluated": 1.0},
    "large weights": {"visits": 4000, "rate": 0.05, "logging": 0.5, "evaluated": 0.35},
}


def measure(data: Path | None = None, runs: int = 500, seed: int = 0) -> dict[str, Any]:
    """Estimate policies from the logs of others, and count how often intervals on simulated shops hold the truth.

    Parameters
    ----------
    data
        Folder of the Open Bandit Dataset (Saito et al., 2020): `random_men.csv`, `bts_men.csv` and those of women,
        with item_id, position, click and propensity_score. None leaves them out.
    runs
        Logs drawn of each simulated shop.
    seed
        Of the simulated shops.
    """
    estimates = {} if data is None else dict(_of_dataset(data))
    coverage = {name: covered(SimulatedLogs.draw(seed, **shop), runs, seed) for name, shop in SHOPS.items()}
    return {"protocol": "off-policy", "seed": seed, "estimates": estimates, "coverage": coverage}


def _of_dataset(data: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for campaign in CAMPAIGNS:
        logs = {name: read_log(data / f"{name}_{campaign}.csv") for name in POLICIES}
        for logged, evaluated in (POLICIES, POLICIES[::-1]):
            policy = uniform(logs[evaluated]) if evaluated == "random" else shown_shares(logs[evaluated])
            report = off_policy(logs[logged], {evaluated: policy})
            truth = float(logs[evaluated]["click"].mean())
            yield (
                f"{campaign}: {evaluated} estimated from the log of {logged}",
                _compared(report, evaluated, truth),
            )


def read_log(path: Path) -> pd.DataFrame:
    """Return a log of the Open Bandit Dataset with the names of `off_policy`."""
    if not path.exists():
        raise DataError(f"{path} is missing; expected the logs of the Open Bandit Dataset as POLICY_CAMPAIGN.csv")
    return pd.read_csv(path).rename(columns={"propensity_score": "propensity"})


def uniform(log: pd.DataFrame) -> pd.DataFrame:
    """Return the policy that shows each product of a log equally often at every position."""
    items = np.unique(log["item_id"])
    return pd.DataFrame({"item_id": items, "probability": 1 / len(items)})


def shown_shares(log: pd.DataFrame) -> pd.DataFrame:
    """Return the policy that shows products as often as a log does: of one that changed meanwhile, its mean."""
    counts = log.groupby(["position", "item_id"]).size()
    return (counts / counts.groupby("position").transform("sum")).rename("probability").reset_index()


def _compared(report: OffPolicyReport, policy: str, truth: float) -> dict[str, Any]:
    rows = {"truth": {"value": truth}}
    for estimator in ("SNIPS", "DR"):
        each = report.of(policy, estimator)
        names = (
            "value",
            "low",
            "high",
            "effective_sample_size",
            "effective_clusters",
            "mean_weight",
            "max_weight",
        )
        rows[estimator] = {name: getattr(each, name) for name in names}
        rows[estimator]["holds the truth"] = each.low <= truth <= each.high
    return {"rows": rows, "warnings": list(report.warnings)}


@dataclass(frozen=True)
class SimulatedLogs:
    """A shop whose click rates are known: visits of several answers, some visitors click more than others.

    Parameters
    ----------
    rates
        Click rate of each item at the first position, by context, (x, n).
    of_position
        What a position multiplies the rate by, (p,).
    logging, evaluated
        Probability of each item by context, (x, n).
    visits
        Of a log.
    """

    rates: Double
    of_position: Double
    logging: Double
    evaluated: Double
    visits: int

    @classmethod
    def draw(
        cls, seed: int, visits: int, rate: float, logging: float, evaluated: float, items: int = 40
    ) -> "SimulatedLogs":
        """Draw a shop; the logging policy's scores have nothing to do with the rates, the evaluated one's do."""
        rng = np.random.default_rng(seed)
        taste = rng.normal(0, 0.8, (6, items))
        rates = np.clip(rate * np.exp(taste - 0.32), 0, 0.4)
        policies = _softmax(rng.normal(size=taste.shape) / logging, 0.1), _softmax(taste / evaluated, 0.02)
        return cls(rates, np.array([1.0, 0.7, 0.5, 0.4]), *policies, visits)

    @property
    def truth(self) -> float:
        """The click rate of the evaluated policy."""
        return float((self.evaluated * self.rates).sum(axis=1).mean() * self.of_position.mean())

    def log(self, seed: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Draw a log, and return it with the evaluated policy at its positions."""
        rng = np.random.default_rng([seed, 1])
        visit = np.repeat(np.arange(self.visits), 1 + rng.poisson(1, self.visits))
        eager = rng.uniform(0.2, 1.8, self.visits)[visit]
        context = rng.integers(len(self.rates), size=len(visit))
        places = len(self.of_position)
        answer, position = np.repeat(np.arange(len(visit)), places), np.tile(np.arange(places), len(visit))
        item = _drawn(self.logging[context[answer]], rng)
        chance = self.rates[context[answer], item] * self.of_position[position] * eager[answer]
        log = pd.DataFrame(
            {
                "recommendation_id": context[answer],  # the policy depends on the context alone
                "session_id": visit[answer],
                "position": position + 1,
                "item_id": item,
                "propensity": self.logging[context[answer], item],
                "click": (rng.random(len(item)) < chance).astype(float),
            }
        )
        contexts, items = np.indices(self.evaluated.shape).reshape(2, -1)
        policy = {"recommendation_id": contexts, "item_id": items, "probability": self.evaluated.ravel()}
        return log, pd.DataFrame(policy)


def covered(shop: SimulatedLogs, runs: int, seed: int = 0) -> dict[str, Any]:
    """Return how often the 95 % intervals of drawn logs hold the truth, by estimator, and those of a bootstrap."""
    held: dict[str, list[bool]] = {name: [] for name in ("SNIPS", "DR", "SNIPS, bootstrap")}
    values, sizes, warned = [], [], 0
    for run in range(runs):
        log, policy = shop.log(seed * runs + run)
        report = off_policy(log, {"evaluated": policy})
        for name in ("SNIPS", "DR"):
            each = report.of("evaluated", name)
            held[name].append(each.low <= shop.truth <= each.high)
        low, high = _bootstrap(log, policy, np.random.default_rng([seed, run, 2]))
        held["SNIPS, bootstrap"].append(low <= shop.truth <= high)
        values.append(report.of("evaluated").value)
        sizes.append(report.of("evaluated").effective_sample_size / report.rows)
        warned += bool(report.warnings)
    return {
        "truth": shop.truth,
        "mean of SNIPS": float(np.mean(values)),
        "effective sample": float(np.mean(sizes)),
        "warned": warned / runs,
        **{name: float(np.mean(each)) for name, each in held.items()},
    }


def _bootstrap(log: pd.DataFrame, policy: pd.DataFrame, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of SNIPS when sessions are drawn with replacement."""
    weights = log.merge(policy, how="left")["probability"].to_numpy() / log["propensity"].to_numpy()
    sessions = log["session_id"].to_numpy()
    sums, totals = np.bincount(sessions, weights * log["click"].to_numpy()), np.bincount(sessions, weights)
    n = len(sums)
    times = rng.multinomial(n, np.full(n, 1 / n), size=BOOTSTRAPS).astype(np.float64)
    low, high = np.quantile((times @ sums) / (times @ totals), [0.025, 0.975])
    return float(low), float(high)


def _softmax(logits: Double, floor: float) -> Double:
    shares = np.exp(logits - logits.max(axis=1, keepdims=True))
    return (1 - floor) * shares / shares.sum(axis=1, keepdims=True) + floor / logits.shape[1]


def _drawn(chances: Double, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw a column of each row, by its chances."""
    below = rng.random(len(chances))[:, None] * chances.sum(axis=1, keepdims=True) > chances.cumsum(axis=1)
    return np.asarray(below.sum(axis=1).clip(max=chances.shape[1] - 1), np.int64)


def lines_of(figures: Mapping[str, Any]) -> Sequence[str]:
    """Return the tables of what was measured."""
    parts = []
    for name, found in figures["estimates"].items():
        frame = pd.DataFrame.from_dict(found["rows"], orient="index").astype(object)
        text = frame.where(frame.notna(), "").to_string(float_format=lambda value: f"{value:.5g}")
        parts.append("\n".join([name, text, *(f"note: {warning}" for warning in found["warnings"])]))
    frame = pd.DataFrame.from_dict(figures["coverage"], orient="index")
    parts.append("coverage of the 95 % intervals\n" + frame.to_string(float_format=lambda value: f"{value:.4g}"))
    return parts
