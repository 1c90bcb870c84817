"""Draw ids, histories, filters and options that suit the products of a bundle."""

import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from recommender.recommender import Recommender

Json = Any

START = datetime(2025, 6, 1, tzinfo=UTC)  # of the users' events
EVENT_NAMES = ("view_item", "select_item", "add_to_cart", "purchase", "add_to_wishlist", "view_item_list")
NEGATIVE_NAMES = ("remove_from_cart", "dismiss", "refund")
UNKNOWN_IDS = ("unknown-1", "unknown/2", "ÄÖ-1")
_TERMS = ("image", "text", "category", "behaviour", "cooccurrence", "prior")
_WORD = re.compile(r"[^\W\d][\w.-]*")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")


class Sampler:
    """Draws the parts of requests; the same seed draws the same requests.

    Parameters
    ----------
    rec
        Over the bundle.
    seed
        Of the random numbers.

    Attributes
    ----------
    changed_ids
        Ids of changed products; once there are any, many of the drawn ids are among them.
    """

    def __init__(self, rec: Recommender, seed: int) -> None:
        self.rec, self.random = rec, Random(seed)
        self.ids, self.names = list(rec.ids), list(rec.attributes.names)
        self.terms = [term for term in _TERMS if term in rec.weights["item"]]
        sample = self.random.sample(self.ids, min(len(self.ids), 400))
        products = [rec.product(item_id) for item_id in sample]
        values = {name: _distinct(product.get(name) for product in products) for name in self.names}
        # A value that no two products share filters little, unless it is a bound.
        self.values = {
            name: distinct
            for name, distinct in values.items()
            if distinct and (_is_range(distinct) or 2 * len(distinct) <= len(sample))
        }
        self.with_image = [item_id for item_id in sample if rec.thumbnail(item_id) is not None]
        self.changed_ids: list[str] = []

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self.random.random() < probability

    def members(self, options: Mapping[str, tuple[float, Callable[[], Json]]]) -> dict[str, Json]:
        """Return each option with its probability."""
        return {name: draw() for name, (probability, draw) in options.items() if self.chance(probability)}

    def item(self) -> str:
        """Return an id, seldom an unknown one."""
        if self.chance(0.06):
            return self.random.choice(UNKNOWN_IDS)
        return self.random.choice(self.changed_ids if self.changed_ids and self.chance(0.4) else self.ids)

    def items(self, limit: int) -> list[str]:
        """Return 1 to `limit` ids: unrelated ones, or those of similar products."""
        count = self.random.randint(1, limit)
        if self.chance(0.5):
            return [self.item() for _ in range(count)]
        similar = [each.item_id for each in self.rec.similar(self.random.choice(self.ids), k=2 * count).items]
        return [self.random.choice(similar) if similar and self.chance(0.9) else self.item() for _ in range(count)]

    def k(self) -> int:
        """Return how many products to return."""
        return self.random.choice((1, 2, 3, 5, 8, 10, 10, 12, 20, 40, 100))

    def weights(self) -> dict[str, float]:
        """Return weights of some terms."""
        terms = self.random.sample(self.terms, self.random.randint(1, min(3, len(self.terms))))
        return {term: self.random.choice((0.0, 0.2, 0.5, 1.0, 1.0, 2.5)) for term in terms}

    def timestamp(self, start: datetime = START) -> str:
        """Return a time within 300 days of `start`, in ISO format."""
        return (start + timedelta(seconds=self.random.randrange(300 * 86_400))).isoformat()

    def events(self, limit: int = 60, timed: bool = True) -> list[dict[str, Json]]:
        """Return 1 to `limit` events in no order; with timestamps, some of them equal, or without."""
        size = self.random.choice([size for size in (1, 1, 2, 3, 5, 8, 20, 60) if size <= limit])
        names = NEGATIVE_NAMES if self.chance(0.05) else (*EVENT_NAMES, *EVENT_NAMES, *NEGATIVE_NAMES, "rate")
        events: list[dict[str, Json]] = []
        for item_id in self.items(size):
            event: dict[str, Json] = {"item_id": item_id, "event_name": self.random.choice(names)}
            if event["event_name"] == "rate":
                event["value"] = float(self.random.randint(1, 5))
            if timed:
                same = events and self.chance(0.2)
                event["timestamp"] = events[-1]["timestamp"] if same else self.timestamp()
            events.append(event)
        return events

    def filter(self) -> Json:
        """Return a filter, as a tree or as text."""
        tree = self.tree()
        return to_text(tree) if self.chance(0.5) else tree

    def tree(self) -> Json:
        """Return a filter as a tree."""
        if self.chance(0.4):
            return self.condition()
        alone = (["must"], ["must"], ["should"], ["must_not"])
        groups = self.random.choice((*alone, ["must", "must_not"], ["must", "should"]))
        tree = {group: [self.condition() for _ in range(self.random.randint(1, 2))] for group in groups}
        if self.chance(0.2):
            tree.setdefault("must", []).append({"should": [self.condition(), self.condition()]})
        return tree

    def condition(self) -> Json:
        """Return one condition of a filter."""
        if self.chance(0.05) or not self.values:
            return {"ids": self.items(6)}
        name = self.random.choice(list(self.values))
        values = self.values[name]
        if self.chance(0.12):
            return {"field": name, self.random.choice(("exists", "exists", "same_as_seed")): self.chance(0.7)}
        if _is_range(values):
            low, high = sorted(self.random.choices(values, k=2))
            bounds = (
                {"gte": low},
                {"lt": high},
                {"lte": high},
                {"gt": low, "lte": high},
                {"gte": low, "lt": high},
            )
            return {"field": name, "range": self.random.choice(bounds)}
        if self.chance(0.4):
            return {"field": name, "match": self.random.choice(values)}
        operand = self.random.sample(values, min(len(values), self.random.randint(1, 4)))
        return {"field": name, "except" if self.chance(0.3) else "any": operand}

    def max_per(self) -> dict[str, int]:
        """Return the re-ranker max_per of one field."""
        return {self.random.choice(list(self.values) or self.names): self.random.randint(1, 4)}

    def diversity(self) -> Json:
        """Return the option diversity."""
        mmr = {"mmr": self.random.choice((0.0, 0.1, 0.3, 0.5, 0.9, 1.0))}
        return self.random.choice((mmr, {"max_per": self.max_per()}, {**mmr, "max_per": self.max_per()}))

    def boosts(self) -> list[Json]:
        """Return the option boost."""
        adds = (0.05, 0.1, 1.0, -0.2, -100.0)
        count = self.random.randint(1, 2)
        return [{"when": self.filter(), "add": self.random.choice(adds)} for _ in range(count)]


def _distinct(values: Iterable[Json]) -> list[Json]:
    """Return the distinct values, sorted, those of lists included."""
    flat = (each for value in values for each in (value if isinstance(value, list) else [value]))
    return sorted({each for each in flat if each is not None})


def _is_range(values: list[Json]) -> bool:
    """Return whether the values are numbers or dates."""
    return isinstance(values[0], float) or (isinstance(values[0], str) and _DATE.match(values[0]) is not None)


def to_text(tree: Json) -> str:
    """Return the text form of a filter's tree."""
    if "ids" in tree:
        return f"id: ANY({', '.join(map(_quoted, tree['ids']))})"
    if "field" in tree:
        return _condition_to_text(tree)
    parts = [*map(to_text, tree.get("must", []))]
    if tree.get("should"):
        parts.append("(" + " OR ".join(map(to_text, tree["should"])) + ")")
    parts += [f"NOT ({to_text(inner)})" for inner in tree.get("must_not", [])]
    return "(" + " AND ".join(parts) + ")"


def _condition_to_text(condition: Mapping[str, Json]) -> str:
    name = condition["field"]
    name = name if _WORD.fullmatch(name) and name.upper() not in ("AND", "OR", "NOT") else _quoted(name)
    ((operator, operand),) = ((key, value) for key, value in condition.items() if key != "field")
    if operator == "match":
        return f"{name} = {_quoted(operand)}"
    if operator in ("any", "except"):
        return f"{name}: {operator.upper()}({', '.join(map(_quoted, operand))})"
    if operator == "range":
        signs = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
        return (
            "(" + " AND ".join(f"{name} {signs[sign]} {_quoted(bound)}" for sign, bound in operand.items()) + ")"
        )
    return f"{'' if operand else 'NOT '}{name}: {operator.upper()}"


def _quoted(value: Json) -> str:
    if not isinstance(value, str):
        return repr(value)
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
