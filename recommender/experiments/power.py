"""Plan an experiment: how many days it needs to find an effect, looked at every day: `plan`."""

import math
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from recommender.core.blocks import Double
from recommender.errors import RequestError
from recommender.experiments.sequential import radius

MAX_DAYS = 730
_PATHS = 20_000


@dataclass(frozen=True)
class Plan:
    """How long an experiment takes to find an effect.

    Parameters
    ----------
    days
        After so many days the effect is found with probability `power`.
    visitors
        Of all arms until then; the experiment's `planned_visitors`.
    power
        The probability by then, simulated: at least the one that was wanted.
    median_days
        Half of the experiments have found it by then, and may stop.
    fixed_days
        What a test would need that is looked at once only, at the end.
    """

    days: int
    visitors: int
    power: float
    median_days: int
    fixed_days: int


def plan(
    rate: float,
    lift: float,
    visitors_per_day: float,
    *,
    power: float = 0.8,
    alpha: float = 0.05,
    arms: int = 2,
    deviation: float | None = None,
) -> Plan:
    """Return how many days an experiment of equal arms needs to find a lift, if it is looked at every day.

    Parameters
    ----------
    rate
        Mean of the control: its conversion rate, or with a `deviation` any other mean per visitor.
    lift
        Share of it by which another arm is better, such as 0.05.
    visitors_per_day
        New visitors of all arms together.
    power
        Probability of finding the lift, for each arm.
    alpha
        Error rate, see `recommender.experiments.compare`.
    deviation
        Standard deviation of the metric between visitors; by default that of conversions.

    Raises
    ------
    RequestError
        If a number makes no sense, or two years would not be enough.

    Notes
    -----
    The estimate's path over the days is Brownian motion with a drift, of which 20,000 paths are simulated against
    the bounds of the confidence sequence. The variance of the metric is that of conversions with either rate, or
    `deviation`² in both arms.
    """
    _check(rate, lift, visitors_per_day, power, alpha, arms, deviation)
    pair = visitors_per_day * 2 / arms  # new visitors a day of the control and one other arm
    mean = rate * (1 + lift)
    spread = rate * (1 - rate) + mean * (1 - mean) if deviation is None else 2 * deviation**2
    drift = abs(rate * lift) / math.sqrt(2 * spread / pair)  # of the z-score after one day
    level = alpha / (arms - 1)
    low, high = 1, 1
    while (reached := _found_by(drift, high, level))[-1] < power:
        low, high = high, high * 2
        if low >= MAX_DAYS:
            raise RequestError(
                f"to find a lift of {lift:.1%} of {rate:g} with {visitors_per_day:g} visitors a day takes more"
                f" than {MAX_DAYS:,} days; look for a larger effect, or have more visitors in it"
            )
    while high - low > 1:
        middle = (low + high) // 2
        curve = _found_by(drift, middle, level)
        low, high, reached = (low, middle, curve) if curve[-1] >= power else (middle, high, reached)
    fixed = math.ceil(((NormalDist().inv_cdf(1 - level / 2) + NormalDist().inv_cdf(power)) / drift) ** 2)
    median = int(np.argmax(reached >= 0.5)) + 1
    return Plan(high, math.ceil(high * visitors_per_day), round(float(reached[-1]), 3), median, fixed)


def _found_by(drift: float, days: int, alpha: float) -> Double:
    """Return the probability of having found the effect by each day, with intervals narrowest on the last."""
    rng = np.random.default_rng(0)  # the same paths each time, so that a plan is the same
    days_so_far = np.arange(1, days + 1, dtype=np.float64)
    # half the width of a confidence sequence in standard errors
    bound = radius(days_so_far, np.ones(days), days, alpha)
    found, position = np.zeros(_PATHS, dtype=bool), np.zeros(_PATHS)
    share = np.empty(days)
    for at, day in enumerate(days_so_far):
        position += rng.standard_normal(_PATHS) + drift
        found |= np.abs(position) > bound[at] * math.sqrt(day)
        share[at] = found.mean()
    return share


def _check(
    rate: float, lift: float, visitors: float, power: float, alpha: float, arms: int, deviation: float | None
) -> None:
    """Raise `RequestError` for numbers that make no sense."""
    is_rate = deviation is None
    wrong = {
        f"rate is {rate:g}; expected a share of visitors between 0 and 1": is_rate and not 0 < rate < 1,
        f"rate is {rate:g}; expected a mean above 0": not is_rate and not 0 < rate < math.inf,
        f"lift is {lift:g}; expected a share other than 0, such as 0.05 for 5 %": not math.isfinite(lift)
        or lift == 0,
        f"rate {rate:g} with a lift of {lift:g} is {rate * (1 + lift):g}; expected a share between 0 and 1": (
            is_rate and not 0 < rate * (1 + lift) < 1
        ),
        f"visitors per day is {visitors:g}; expected a number above 0": not 0 < visitors < math.inf,
        f"power is {power:g}; expected a probability between 0 and 1, such as 0.8": not 0 < power < 1,
        f"alpha is {alpha:g}; expected a probability between 0 and 1, such as 0.05": not 0 < alpha < 1,
        f"arms is {arms}; expected 2 or more": arms < 2,
        f"deviation is {deviation}; expected a number above 0": deviation is not None
        and not 0 < deviation < math.inf,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise RequestError(message)
