"""Events for the evaluation's tests."""

import pandas as pd

from recommender.catalog import Interactions


def events(rows):
    """Interactions of (user, row, day[, event_name]) ; an id is the row with leading zeros."""
    lines = [(user, row, day, *rest) if rest else (user, row, day, "purchase") for user, row, day, *rest in rows]
    frame = pd.DataFrame(lines, columns=["user_id", "row", "day", "event_name"])
    frame = frame.assign(
        item_id=frame["row"].map("{:04}".format),
        row=frame["row"].astype("int32"),
        timestamp=(pd.Timestamp("2024-01-01") + pd.to_timedelta(frame["day"], unit="D")).astype("datetime64[us]"),
        value=float("nan"),
    )
    columns = ["user_id", "item_id", "row", "event_name", "timestamp", "value"]
    frame = frame.sort_values(["user_id", "timestamp"], kind="stable")[columns].reset_index(drop=True)
    return Interactions(frame, {"purchase": 5.0, "view_item": 1.0, "refund": -3.0})
