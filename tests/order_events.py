"""A simulated shop's events with recommendations, orders and refunds, and a plain count of them as the oracle."""

from collections import defaultdict
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from recommender.events import PLAYED, Event
from recommender.stores.attribution import DRAWN, SUFFIX_LENGTH, Attribution

START = datetime(2026, 9, 1, tzinfo=UTC)
KEY = b"k" * 32
ATTRIBUTIONS = [
    Attribution(generation, placement, strategy, arm)
    for generation in ("g1", "g2")
    for placement, strategy, arm in (
        ("home", "for_you", "a"), ("home", "for_you", "b"), ("home", "for_you", DRAWN), ("pdp", "similar", ""),
        ("", "popular", ""),
    )
]  # fmt: skip
Counts = dict[tuple[str, ...], dict[str, Any]]


def simulated(n: int, seed: int = 0, days: int = 40) -> tuple[list[Event], list[bool]]:
    """Return about `n` events, in no order and some twice, and which of them count."""
    rng = np.random.default_rng(seed)
    users, items = max(n // 60, 3), 25 + n // 200
    events: list[Event] = []
    for i in range(n):
        moment = START + timedelta(seconds=int(rng.integers(days * 86_400 // 60)) * 60)
        who = rng.integers(users)
        form = rng.random()
        user = "" if form < 0.35 else f"{PLAYED}u{who}" if form > 0.98 else f"u{who}"
        session = "" if 0.35 <= form < 0.5 else f"s{who // 2}-{rng.integers(3)}"  # of two users
        kind = rng.choice(
            ["view_item_list", "select_item", "view_item", "add_to_cart", "purchase", "refund", "dismiss"],
            p=[0.4, 0.15, 0.1, 0.08, 0.2, 0.05, 0.02],
        )
        rec = ATTRIBUTIONS[rng.integers(len(ATTRIBUTIONS))].new_id(KEY)
        if kind in ("purchase", "refund"):
            rec = rec if rng.random() < 0.1 else ""
        elif rng.random() < 0.1:
            rec = str(rng.choice(["", "somebody-elses~id-that-is-long", "x"]))
        transaction = f"t{rng.integers(max(n // 10, 2))}" if rng.random() < 0.7 else None
        currency = [None, "EUR", "USD"][rng.choice(3, p=[0.1, 0.6, 0.3])]
        is_order = kind in ("purchase", "refund")
        for item in rng.choice(items, size=rng.integers(1, 4), replace=False):
            events.append(
                Event(
                    f"i{item}", str(kind), moment, user, None, f"e{i}", session, rec,
                    None if rng.random() < 0.3 else float(rng.integers(1, 4)),
                    None if rng.random() < 0.1 else float(rng.integers(100, 9000)) / 100,
                    transaction if is_order else None,
                    currency if is_order else None,
                )
            )  # fmt: skip
    resent = [
        replace(events[at], event_id=f"again{at}") for at in rng.integers(len(events), size=len(events) // 50)
    ]
    events += [each for each in resent if each.event_name == "purchase"]
    order = rng.permutation(len(events))
    shuffled = [events[at] for at in order]
    return shuffled, [bool(each) for each in rng.random(len(shuffled)) > 0.03]


def counted_plainly(
    events: list[Event], counted: list[bool], start: datetime, end: datetime, click_days: int, view_days: int
) -> tuple[Counts, Counts]:
    """Return the amounts by day, placement, strategy, arm and currency, and those of the shop by currency.

    By going through the events once, in order of time, as a bookkeeper would.
    """
    real = [e for e, yes in zip(events, counted, strict=True) if yes]
    real.sort(key=lambda e: (e.timestamp, e.event_id))
    bought: dict[tuple[str, str], dict[str, Any]] = {}
    journal: dict[str, list[Event]] = defaultdict(list)
    for e in real:
        journal[e.item_id].append(e)
    for e in real:
        key = (e.transaction_id or e.event_id, e.item_id)
        if e.event_name == "purchase" and not e.user_id.startswith(PLAYED) and key not in bought:
            pieces = e.quantity or 1.0
            bought[key] = {"event": e, "units": pieces, "revenue": None if e.price is None else pieces * e.price}
    _take_back(real, bought, journal, start)
    groups: Counts = defaultdict(lambda: {"orders": set(), "users": set(), "units": 0.0, "revenue": 0.0})
    shop: Counts = defaultdict(lambda: {"orders": set(), "users": set(), "units": 0.0, "revenue": 0.0})
    for (order_id, _), order in bought.items():
        e = order["event"]
        if not (start <= e.timestamp < end and order["units"] > 0):
            continue
        places = [shop[e.currency or "",]]
        if (rec := _credit(journal[e.item_id], e, click_days, view_days)) is not None:
            _, placement, strategy, arm = rec[:-SUFFIX_LENGTH].split("~")
            places.append(groups[str(e.timestamp)[:10], placement, strategy, arm, e.currency or ""])
        for place in places:
            place["orders"].add(order_id)
            place["users"].add(e.user_id or ("", e.session_id))
            place["units"] += order["units"]
            place["revenue"] += order["revenue"] or 0.0
    return _numbers(groups), _numbers(shop)


def _take_back(
    real: list[Event],
    bought: dict[tuple[str, str], dict[str, Any]],
    journal: dict[str, list[Event]],
    start: datetime,
) -> None:
    for e in real:
        if e.event_name != "refund" or e.user_id.startswith(PLAYED) or e.timestamp < start:
            continue
        key = (e.transaction_id, e.item_id) if e.transaction_id else _last_order(journal[e.item_id], e)
        if (order := bought.get(key)) is None:
            continue
        pieces = min(e.quantity or 1.0, order["units"])
        order["units"] -= pieces
        if order["revenue"] is not None:
            price = order["event"].price if e.price is None else e.price
            order["revenue"] = max(0.0, order["revenue"] - pieces * price) if order["units"] else 0.0


def _numbers(groups: Counts) -> Counts:
    return {
        key: {**g, "orders": len(g["orders"]), "users": len(g["users"]), "revenue": round(g["revenue"], 2)}
        for key, g in groups.items()
    }


def _same_shopper(one: Event, other: Event) -> bool:
    if one.user_id and other.user_id:
        return one.user_id == other.user_id
    return one.session_id != "" and one.session_id == other.session_id


def _last_order(events: list[Event], refund: Event) -> tuple[str, str]:
    found = ("", "")
    for e in events:
        if e.event_name == "purchase" and e.timestamp <= refund.timestamp and _same_shopper(e, refund):
            found = (e.transaction_id or e.event_id, e.item_id)
    return found


def _credit(events: list[Event], purchase: Event, click_days: int, view_days: int) -> str | None:
    click = view = None
    for e in events:
        rec = e.recommendation_id
        if e.timestamp > purchase.timestamp or not _same_shopper(e, purchase) or rec.count("~") != 4:
            continue
        if rec.split("~")[3] == DRAWN:
            continue
        age = purchase.timestamp - e.timestamp
        if e.event_name == "view_item_list":
            view = rec if age <= timedelta(days=view_days) else view
        elif e.event_name in ("select_item", "view_item", "add_to_cart", "purchase"):
            click = rec if age <= timedelta(days=click_days) else click
    return click or view
