"""Tables of what a protocol measured: its bundles, its rankings, its neighbour lists."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from recommender.commands.benchmarks.protocols.off_policy import lines_of
from recommender.evaluation import table


def show(figures: Mapping[str, Any]) -> str:
    """Return the figures as text."""
    return "\n\n".join(_parts(figures))


def _parts(figures: Mapping[str, Any]) -> Iterator[str]:
    yield f"{figures['protocol']}, seed {figures['seed']}, {figures['seconds']:.0f} s in total"
    for name, bundle in figures.get("bundles", {}).items():
        yield f"bundle: {name}\n{_bundle(bundle)}"
    if gap := figures.get("modality gap"):
        yield "modality gap: " + ", ".join(f"{when} {distance}" for when, distance in gap.items())
    for name, report in figures.get("reports", {}).items():
        for measure in figures["measures"]:
            yield f"{name}\n{table(report, measure)}"
    for name, group in figures.get("users", {}).items():
        yield f"{name}\n{_gains(group)}"
    for name, lists in figures.get("neighbours", {}).items():
        yield f"{name}\n{neighbour_table(lists)}"
    if "ways" in figures:
        yield pd.DataFrame.from_dict(figures["ways"], orient="index").to_string(float_format="{:.4f}".format)
    if "coverage" in figures:
        yield from lines_of(figures)


def _bundle(bundle: Mapping[str, Any]) -> str:
    seconds = bundle["metrics"]["seconds"]
    stages = ", ".join(f"{stage} {spent:.0f}" for stage, spent in seconds.items())
    lines = [f"fit {sum(seconds.values()):.0f} s ({stages}); encoder {bundle['encoders']['name']}"]
    for kind, weights in bundle["weights"].items():
        lines.append(f"weights of {kind} queries: " + ", ".join(f"{k} {w:.3f}" for k, w in weights.items()))
    return "\n".join(lines)


def _gains(figures: Mapping[str, Any]) -> str:
    recalls = [f"{name:34}{value:.4f}" for name, value in figures["recall"].items()]
    gain = "gain {mean:.4f} ({low:.4f} to {high:.4f})".format(**figures["gain"])
    return "\n".join([*recalls, f"{gain}, {figures['share']:.0%} of the oracle's"])


def neighbour_table(figures: Mapping[str, Any]) -> str:
    """Return one line per ranker, and the setup above; ``<`` where the first line beats it, as `table` marks."""
    setup = {name: value for name, value in figures.items() if not isinstance(value, dict)}
    lists = {name: value for name, value in figures.items() if isinstance(value, dict)}
    lines = [", ".join(f"{name} {value}" for name, value in setup.items())]
    for name, measures in lists.items():
        lines.append(f"{name:34}{'   '.join(_cell(measure, value) for measure, value in measures.items())}")
    return "\n".join(lines)


def _cell(measure: str, value: Mapping[str, Any]) -> str:
    low, high = value["first_lead"]["low"], value["first_lead"]["high"]
    mark = "<" if low > 0 else ">" if high < 0 else " " if low == high == 0 else "~"
    return f"{measure} {value['mean']:.4f} ±{value['std_error']:.4f} {mark}"
