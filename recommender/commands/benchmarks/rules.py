"""What the rules of a placement cost a request, in one process.

Placements of similar items: without rules, with many of one action, and with many of each. Their conditions are on
the seed's category, brand and price, so that each seed has some. Requests take turns, so that a busy machine slows
all. "Evaluation" is to find the rules that hold and what they do, "answer" is all of an answer with that. A boost
has all products scanned, however many rules there are, and each fill that has a position free is a search.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np

import recommender
from recommender.progress import progress
from recommender.recommender import Recommender

ACTIONS = ("block", "bury", "filter", "pin", "boost", "fill")
QUESTION = {"strategy": "similar", "limit": 12}


def measure(bundles: Path, count: int, requests: int) -> dict[str, Any]:
    """Return the time of compiling, of evaluating and of answering, in milliseconds."""
    from serving.recommending import run_with_rules
    from serving.rules import CompiledRules
    from serving.schemas.placements import Placement
    from serving.schemas.requests import RecommendationParams

    rec, random = recommender.load(bundles), Random(0)
    kinds: dict[str, Sequence[str]] = {"none": (), **{action: (action,) for action in ACTIONS}, "each": ACTIONS}
    placements, compiled, compile_ms = {}, {}, {}
    for name, actions in kinds.items():
        drawn = [draw(rec, random, n, actions[n % len(actions)]) for n in range(count if actions else 0)]
        placements[name] = Placement.model_validate({"question": QUESTION, "rules": drawn})
        start = perf_counter()
        compiled[name] = CompiledRules(placements[name], {}, rec.attributes, datetime.now(UTC))
        compile_ms[name] = 1e3 * (perf_counter() - start)
    answer: dict[str, list[float]] = {name: [] for name in kinds}
    evaluation: dict[str, list[float]] = {name: [] for name in kinds}
    held = []
    seeds = random.choices(rec.ids, k=requests)
    for number, seed in enumerate(progress([*seeds, *seeds], "requests", 2 * requests, "request")):
        params = RecommendationParams.model_validate({**QUESTION, "seeds": {"items": [{"item_id": seed}]}})
        row = rec.attributes.row_of(seed)
        for name in kinds:
            start = perf_counter()
            compiled[name].effect([row], rec.live_attributes)
            middle = perf_counter()
            run_with_rules(rec, params, placements[name], compiled[name], {"items": [seed]})
            end = perf_counter()
            if number >= requests:  # the first round warms up
                evaluation[name].append(1e3 * (middle - start))
                answer[name].append(1e3 * (end - middle))
        held.append(int(compiled["each"].holding([row], rec.live_attributes).sum()))
    return {
        "products": rec.n,
        "rules": count,
        "held_median": median(held),
        "compile_ms": round(compile_ms["each"], 2),
        "evaluation_ms": {name: figures(evaluation[name]) for name in kinds},
        "answer_ms": {name: figures(answer[name]) for name in kinds},
    }


def draw(rec: Recommender, random: Random, number: int, action: str) -> dict[str, Any]:
    """Return a rule with a condition on the seed's category, brand or price."""
    product = rec.product(random.choice(rec.ids))
    when: dict[str, Any] = {"field": "price", "range": {"gte": product.get("price") or 0}}
    names = [name for name in ("product_type", "brand") if product.get(name)]
    if names and number % 4:
        name = random.choice(names)
        same = {"field": name, "match": product[name]}
        when = {"must": [same, when]} if number % 3 else same
    rule: dict[str, Any] = {"name": f"r{number}", "action": action, "when": when}
    position, few = random.randint(1, 12), {"ids": random.choices(rec.ids, k=max(1, rec.n // 1000))}
    if action == "pin":
        return {**rule, "item_id": product["id"], "position": position}
    if action == "fill":
        return {**rule, "products": few, "position": position, "count": 1}
    if action == "boost":
        return {**rule, "products": few, "add": 0.01}
    cheap = {"field": "price", "range": {"gte": 0}}
    return {**rule, "products": cheap if action == "filter" else few}


def figures(times: Sequence[float]) -> dict[str, float]:
    """Return the median, the mean and the 99th percentile."""
    return {
        "p50": round(median(times), 4),
        "mean": round(float(np.mean(times)), 4),
        "p99": round(float(np.percentile(times, 99)), 4),
    }


def show(report: Mapping[str, Any]) -> str:
    """Return the report as text."""
    lines = [
        f"{report['products']:,} products; {report['rules']:,} rules compile in {report['compile_ms']} ms, and"
        f" {report['held_median']:g} hold for a seed (median)",
        f"{'ms':24}{'p50':>10}{'mean':>10}{'p99':>10}",
    ]
    for kind in ("evaluation_ms", "answer_ms"):
        for name, each in report[kind].items():
            title = f"{kind.removesuffix('_ms')}, {name}"
            lines.append(f"{title:24}{each['p50']:10.3f}{each['mean']:10.3f}{each['p99']:10.3f}")
    return "\n".join(lines)
