"""A recommender that answers from a list and records the requests."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from recommender.bundle import current
from recommender.errors import BundleError, RequestError, UnknownItemError
from recommender.items.ids import other_form
from recommender.ranking.request import Request
from recommender.ranking.results import Reason, Recommendation, Recommendations
from recommender.stores import ItemOverlay

NOW = datetime.now(UTC)
EVENT = {
    "event_id": "e-1",
    "event_name": "add_to_cart",
    "timestamp": NOW.isoformat(),
    "user_id": "u 1",
    "items": [{"item_id": "A", "quantity": 1, "price": 9.5}],
}
HEALTHY = {name: {"status": "ok", "detail": ""} for name in ("bundle", "store", "disk")}
IDS = ["A", "B", "C/1", "D", "E"]


class FakeAttributes:
    names: ClassVar = ["title", "price"]

    def row_of(self, item_id: str) -> int:
        return IDS.index(item_id) if item_id in IDS else -1

    def fields(self, row: int, names: Iterable[str]) -> dict[str, Any]:
        return {name: {"title": f"Product {IDS[row]}", "price": 10.0 * row}[name] for name in names}


class FakeRecommender:
    """Every answer is the other products in order of id."""

    def __init__(self, generation: str, overlay: ItemOverlay) -> None:
        self.generation = generation
        self.overlay = overlay
        self.attributes = FakeAttributes()
        self.weights = {"item": {"image": 0.5, "prior": 0.5}, "user": {"image": 1.0}}
        self.manifest = type(
            "Manifest", (), {"metrics": {"recall": {"recall": 0.99}}, "created_at": "2026-11-23T10:15:00+00:00"}
        )
        self.profile_columns: dict[str, tuple[str, ...]] = {"user": (), "context": ()}
        self.requests: list[Request] = []

    @property
    def revision(self) -> tuple[str, int]:
        return self.generation, self.overlay.revision()

    def fields(self, item_id: str, names: Iterable[str]) -> dict[str, Any]:
        changed = self.changes(item_id)
        return {
            n: changed.get(n, v) for n, v in self.attributes.fields(self.attributes.row_of(item_id), names).items()
        }

    def row_time(self, item_id: str) -> float:
        return float("nan")

    def changes(self, item_id: str) -> Mapping[str, Any]:
        entry = self.overlay.read().get(item_id)
        return {} if entry is None else entry.attributes or {}

    def __contains__(self, item_id: str) -> bool:
        return item_id in IDS

    def __len__(self) -> int:
        return len(IDS)

    def product(self, item_id: str) -> dict[str, Any]:
        if item_id not in self:
            raise UnknownItemError(item_id, other_form(item_id, self.__contains__))
        fields = self.attributes.fields(IDS.index(item_id), self.attributes.names)
        return {"id": item_id, **fields, **self.changes(item_id)}

    def thumbnail(self, item_id: str) -> bytes | None:
        return b"\xff\xd8jpeg" if item_id == "A" else None

    def run(self, request: Request) -> Recommendations:
        self.requests.append(request)
        if "imgae" in (request.weights or {}):
            raise RequestError("unknown weight 'imgae'", "/weights/imgae", "image")
        strategy = request.strategy or ("similar" if len(request.items) == len(request.events) == 1 else "for_you")
        if strategy == "similar" and len(request.items) != 1:
            raise RequestError(f"the strategy similar takes one item, found {len(request.items)}", "/seeds/items")
        if strategy == "similar" and request.items[0] == "bug":
            raise ZeroDivisionError("secret")
        if strategy == "similar" and request.items[0] not in self:
            raise UnknownItemError(request.items[0], "A", "/seeds/items")
        if len(request.current) == 1 and not request.past and request.current[0].item_id not in self:
            raise UnknownItemError(request.current[0].item_id, pointer="/seeds/items")
        if strategy == "for_you" and not request.events:
            strategy = "popular"
        eligible = [item_id for item_id in IDS if item_id not in request.all_excluded_ids]
        why = (Reason("visual_similarity", "A", 1.0),)
        explanation = {"parts": {"image": 1.0}, "reasons": why, "text": "Looks alike"} if request.explain else {}
        items = tuple(
            Recommendation(item_id, rank, 1.0, **explanation)
            for rank, item_id in enumerate(eligible[: request.k], start=1)
        )
        return Recommendations(items, strategy, "exact", len(eligible), len(eligible), self.generation)


def publish(bundles: Path, generation: str) -> None:
    """Make a generation current."""
    bundles.mkdir(exist_ok=True)
    (bundles / "CURRENT").write_text(f"{generation}\n")


def load(bundles: Path, overlay: ItemOverlay, *, generation: str | None = None, unsearched: Any = ()) -> Any:
    """Open what is current; generations that are called bad cannot be opened."""
    generation = generation or current(bundles)
    if generation.startswith("bad"):
        raise BundleError(f"generation {generation} is damaged")
    return FakeRecommender(generation, overlay)


def ids(answer: Any) -> list[str]:
    """Return the ids of an answer, which must be a 200."""
    assert answer.status_code == 200, answer.json
    return [item["item_id"] for item in answer.json["items"]]
