"""The current products of a bundle: attributes, with the overlay over them, and thumbnails."""

from collections.abc import Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from recommender.bundle import DeltaThumbnails, Thumbnails
from recommender.core.blocks import Double, Rows
from recommender.errors import UnknownItemError
from recommender.items import Attributes, sales
from recommender.items.ids import other_form
from recommender.items.overlay import OverlayState

if TYPE_CHECKING:
    from recommender.stores.base import ItemOverlay


class Products:
    """The current products of a bundle.

    Parameters
    ----------
    attributes
        Attributes of the bundle.
    thumbnails
        Thumbnails by row.
    overlay
        Live changes; None for none.
    row_times
        Moments of the catalogue's rows, see `OverlayState`; None if they are not known: all changes count.
    """

    def __init__(
        self,
        attributes: Attributes,
        thumbnails: Thumbnails | DeltaThumbnails,
        overlay: "ItemOverlay | None" = None,
        row_times: Double | None = None,
    ) -> None:
        self.attributes = attributes
        self._thumbnails = thumbnails
        self.overlay = overlay
        self._state, self._lock = OverlayState.read(overlay, attributes, row_times), Lock()

    def __contains__(self, item_id: str) -> bool:
        return self.attributes.row_of(item_id) >= 0

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rows(self) -> Rows:
        """Rows of the products that were not removed, in order of id."""
        rows, listed = np.asarray(self.attributes.ids.in_order, dtype=np.int32), self.overlay_state().listed
        return rows if listed is None else rows[listed[rows]]

    @property
    def ids(self) -> list[str]:
        """Ids of the products that were not removed, in plain string order."""
        return self.attributes.ids.ids_of(self.rows)

    def overlay_state(self) -> OverlayState:
        """Return the overlay at its current revision, with the prices in force now."""
        if self._is_current(self._state):
            return self._state
        with self._lock:  # the others wait for the few milliseconds that one needs
            if not self._is_current(self._state):
                self._state = self._state.updated(self.overlay)
            return self._state

    def _is_current(self, state: OverlayState) -> bool:
        on_sale = state.since <= sales.now() < state.until
        return on_sale and (self.overlay is None or self.overlay.revision() == state.revision)

    @property
    def revision(self) -> tuple[int, float]:
        """The overlay's revision, and when a sale starts or ends next."""
        state = self.overlay_state()
        return state.revision, state.until

    def of(self, item_id: str, pointer: str = "/item_id") -> dict[str, Any]:
        """Return the attributes of a product; raises `UnknownItemError`, with the pointer, for an unknown id."""
        row = self.attributes.row_of(item_id)
        changed = self.overlay_state().by_id.get(item_id, {})
        if changed is None or (row < 0 and not changed):
            raise UnknownItemError(item_id, self.other_form(item_id), pointer)
        known = self.attributes.fields(row, self.attributes.names) if row >= 0 else {}
        return {"id": item_id, **known, **changed}

    def other_form(self, item_id: str) -> str | None:
        """Return the id that an unknown one may stand for, see `recommender.items.ids.other_form`."""
        return other_form(item_id, self.__contains__)

    def fields(self, item_id: str, names: Sequence[str]) -> dict[str, Any]:
        """Return some attributes of a product of the bundle."""
        return {**self.overlay_state().fields(item_id, tuple(names))}

    def thumbnail(self, item_id: str) -> bytes | None:
        """Return a product's thumbnail as JPEG, if it has a photo."""
        row = self.attributes.row_of(item_id)
        return self._thumbnails.get(row) if row >= 0 else None

    def described(self, item_id: str) -> tuple[dict[str, Any], bytes | None]:
        """Return the attributes and the thumbnail of a product."""
        return self.of(item_id), self.thumbnail(item_id)
