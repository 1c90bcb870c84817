"""Simulated experiments with known effects: visitors come by day, buy on later days too, and spend unevenly."""

from typing import Any

import numpy as np


def experiment(
    rng: np.random.Generator,
    days: int = 30,
    per_day: int = 200,
    rate: float = 0.1,
    lift: float = 0.0,
    history: float = 0.0,
    shares: tuple[float, ...] = (0.5, 0.5),
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return visitors, their conversions, and their revenue.

    Parameters
    ----------
    rate
        Of visitors who convert, in the end; half of them on their first day, others up to ten days later, and a
        third of them once more.
    lift
        What all arms but the first add to the rate, as a share.
    history
        Correlation of conversions with the covariate that visitors then have.
    """
    n = days * per_day
    arm = rng.choice(len(shares), n, p=shares)
    day = np.repeat(np.arange(days), per_day)
    visitor = np.arange(n)
    inclination = rng.standard_normal(n)
    chance = rate * np.where(arm > 0, 1 + lift, 1.0)
    chance = np.clip(chance * np.exp(history * inclination - history**2 / 2), 0, 1) if history else chance
    buys = rng.random(n) < chance
    later = np.where(rng.random(n) < 0.5, 0, rng.integers(1, 11, n))
    first, again = np.flatnonzero(buys), np.flatnonzero(buys & (rng.random(n) < 1 / 3))
    bought = np.concatenate([first, again])
    when = np.concatenate([day[first] + later[first], day[again] + later[again] + rng.integers(0, 8, len(again))])
    spent = rng.lognormal(3.5, 1.0, len(bought))
    seen = when < days
    visitors = {"visitor": visitor, "arm": np.array(["a", "b", "c"])[arm], "day": day}
    if history:
        visitors["covariate"] = np.exp(inclination)
    conversions = {"visitor": first, "day": day[first] + later[first], "value": np.ones(len(first))}
    conversions = {name: column[conversions["day"] < days] for name, column in conversions.items()}
    return visitors, conversions, {"visitor": bought[seen], "day": when[seen], "value": spent[seen]}
