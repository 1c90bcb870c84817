"""The log of answers as a frame for `off_policy`: one row per shown product, with propensity and rewards."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from recommender.errors import DataError
from recommender.stores.attribution import SUFFIX_LENGTH, Attribution
from recommender.stores.base import LoggedAnswer

REWARDS = {
    "impression": "view_item_list",
    "click": "select_item",
    "cart": "add_to_cart",
    "purchase": "purchase",
}
IDS = ("recommendation_id", "item_id", "user_id", "session_id")


def answer_frame(answers: Iterable[LoggedAnswer]) -> pd.DataFrame:
    """Return one row per shown product.

    Returns
    -------
    pd.DataFrame
        recommendation_id, timestamp, placement, strategy, generation, arm, user_id, session_id, position (from 1),
        item_id, propensity, explored; impression, click, cart and purchase as 0 or 1; and request, as JSON in the
        first row of each answer, "" in the others.
    """
    frame = pd.DataFrame([row for answer in answers for row in _rows(answer)])
    if not len(frame):
        raise DataError("no answer of the period is logged; placements with `exploration` log theirs")
    return frame


def _rows(answer: LoggedAnswer) -> Iterator[dict[str, Any]]:
    attribution = Attribution.parse(answer.recommendation_id[:-SUFFIX_LENGTH]) or Attribution("", "", "")
    for position, item in enumerate(answer.items, start=1):
        yield {
            "recommendation_id": answer.recommendation_id,
            "timestamp": answer.timestamp,
            **{name: getattr(attribution, name) for name in ("placement", "strategy", "generation", "arm")},
            "user_id": answer.user_id,
            "session_id": answer.session_id,
            "position": position,
            "item_id": item.item_id,
            "propensity": item.propensity,
            "explored": item.explored,
            **{reward: int(name in item.events) for reward, name in REWARDS.items()},
            "request": json.dumps(answer.request) if position == 1 else "",
        }


def write_frame(frame: pd.DataFrame, out: Path) -> None:
    """Write a log as CSV, Parquet or JSON Lines, by the extension of the file."""
    if out.suffix == ".parquet":
        frame.to_parquet(out, index=False)
    elif out.suffix == ".csv":
        frame.to_csv(out, index=False)
    elif out.suffix == ".jsonl":
        frame.to_json(out, orient="records", lines=True, date_format="iso")
    else:
        raise DataError(f"{out.name} has the extension {out.suffix!r}; expected .csv, .parquet or .jsonl")


def read_frame(path: Path) -> pd.DataFrame:
    """Read a log or a policy from CSV, Parquet or JSON Lines; ids are strings."""
    if not path.exists():
        raise DataError(f"{path} is missing; expected a log with item_id, position, propensity and rewards")
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    elif path.suffix == ".csv":
        frame = pd.read_csv(path, dtype=dict.fromkeys(IDS, str))
    elif path.suffix == ".jsonl":
        frame = pd.read_json(path, orient="records", lines=True, dtype=dict.fromkeys(IDS, str))
    else:
        raise DataError(f"{path.name} has the extension {path.suffix!r}; expected .csv, .parquet or .jsonl")
    texts = {name: frame[name].fillna("").astype(str) for name in (*IDS, "request") if name in frame.columns}
    return frame.assign(**texts)
