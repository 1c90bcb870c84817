"""What is known of the products of a bundle: their attributes as they are now, and their pictures."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from recommender.bundle import DeltaThumbnails, Thumbnails
from recommender.errors import UnknownItemError
from recommender.items import Attributes
from recommender.items.overlay import OverlayState

if TYPE_CHECKING:
    from recommender.stores.base import ItemOverlay


class Products:
    """The products of one bundle, changes since included.

    Parameters
    ----------
    attributes
        As the bundle has them.
    thumbnails
        By row.
    overlay
        What has changed since; None where nothing does.
    """

    def __init__(
        self,
        attributes: Attributes,
        thumbnails: Thumbnails | DeltaThumbnails,
        overlay: "ItemOverlay | None" = None,
    ) -> None:
        self.attributes = attributes
        self._thumbnails = thumbnails
        self.overlay = overlay
        self._changes = OverlayState.read(overlay, attributes)

    def __contains__(self, item_id: str) -> bool:
        return self.attributes.row_of(item_id) >= 0

    def __len__(self) -> int:
        return len(self.attributes.ids.in_order)

    @property
    def ids(self) -> list[str]:
        """All ids, in plain string order."""
        return self.attributes.ids.ids_of(self.attributes.ids.in_order)

    def changes(self) -> OverlayState:
        """Return what has changed, up to the overlay's revision."""
        if self.overlay is not None and self.overlay.revision() != self._changes.revision:
            self._changes = OverlayState.read(self.overlay, self.attributes)
        return self._changes

    def of(self, item_id: str) -> dict[str, Any]:
        """Return what the catalogue says of a product; raises `UnknownItemError` if it has none of that id."""
        row = self.attributes.row_of(item_id)
        changed = self.changes().by_id.get(item_id, {})
        if changed is None or (row < 0 and not changed):
            raise UnknownItemError(item_id)
        known = self.attributes.fields(row, self.attributes.names) if row >= 0 else {}
        return {"id": item_id, **known, **changed}

    def fields(self, item_id: str, names: Sequence[str]) -> dict[str, Any]:
        """Return some attributes of a product of the bundle."""
        return {**self.changes().fields(item_id, tuple(names))}

    def thumbnail(self, item_id: str) -> bytes | None:
        """Return a product's small JPEG picture, if it has a photo."""
        row = self.attributes.row_of(item_id)
        return self._thumbnails.get(row) if row >= 0 else None

    def described(self, item_id: str) -> tuple[dict[str, Any], bytes | None]:
        """Return what a product and its picture are, to be shown."""
        return self.of(item_id), self.thumbnail(item_id)
