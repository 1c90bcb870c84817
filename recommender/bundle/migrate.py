"""Read the manifests of older formats: their keys are renamed to the present ones when a bundle is opened.

Only names differ between formats 2 and 3; the files of the parts are the same. Nothing is written: the next
generation that is published over an old one has the present format.
"""

from collections.abc import Iterator, Mapping
from typing import Any

OLDEST = 2  # format that can be read

# Where (keys joined by dots, "*" for any) to old and new keys, applied in this order.
_RENAMED_IN_3: tuple[tuple[str, Mapping[str, str]], ...] = (
    ("metrics", {"eight_bits": "int8"}),
    ("metrics.int8.*", {"cosine": "mean_cosine", "lowest": "min_cosine"}),
    ("metrics.seconds", {"towers": "item tower", "weights": "tuning", "everything once more": "refit"}),
    ("metrics.training", {"projection": "alignment", "attributes": "masked_attributes", "weights": "tuning"}),
    ("metrics.training.tuning", {"own_weights_tried": "categories"}),
    (
        "metrics.evaluation",
        {"customers": "users", "choices": "interactions", "cuts": "split_dates", "contenders": "rankers"},
    ),
    ("metrics.evaluation.rankers.*.*.*", {"error": "std_error", "hybrid_ahead": "hybrid_lead"}),
    ("metrics.evaluation.ablation", {"rarely chosen products": "long-tail products"}),
    ("metrics.evaluation.ablation.*", {"choices": "interactions", "lost": "recall_drop"}),
)
_GROUPS_IN_3 = {"product": "recommender", "part": "component"}


def migrate(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return a manifest of any readable format with the keys of the present one.

    Parameters
    ----------
    data
        A manifest's JSON, of format `OLDEST` or later; it is not changed.
    """
    manifest: dict[str, Any] = _copy(data)
    if manifest["format"] < 3:
        for path, names in _RENAMED_IN_3:
            for inner in _at(manifest, path.split(".")):
                renamed = {names.get(key, key): value for key, value in inner.items()}
                inner.clear()
                inner.update(renamed)
        for ranker in _at(manifest, ["metrics", "evaluation", "rankers", "*"]):
            group = str(ranker.get("group"))
            ranker["group"] = _GROUPS_IN_3.get(group, group)
        manifest["format"] = 3
    return manifest


def _copy(value: Any) -> Any:
    return {key: _copy(inner) for key, inner in value.items()} if isinstance(value, Mapping) else value


def _at(value: Any, path: list[str]) -> Iterator[dict[str, Any]]:
    """Yield the dicts at a path; none where a key is missing or not a dict."""
    if not isinstance(value, dict):
        return
    if not path:
        yield value
        return
    first, *rest = path
    for key in [*value] if first == "*" else [first] if first in value else []:
        yield from _at(value[key], rest)
