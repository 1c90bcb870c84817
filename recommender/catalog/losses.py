"""What was lost of a shop's files: told in one line, and refused where it is most of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from recommender.errors import DataError

# Reason of an event that is lost because of how its product's id is written, not because the product is gone.
UNCLEAR_ID = "event of an unclear product id"
_MAX_LOST = 0.5  # share
_MAX_REASONS = 3
_REMEDIES = {
    "products": "expected one row a product, with an id of its own. Correct the file, or `id` in [catalog]",
    "events": "expected the ids, times and event names that [catalog] and [events] describe. Correct the file, or "
    "item_id, timestamp and event_name in [events]",
    "photos": "expected a photo for each image_link. Correct images or image_link in [catalog]",
}


@dataclass(frozen=True)
class Loss:
    """How much of the products, events or photos could be used.

    Attributes
    ----------
    what
        "products", "events" or "photos".
    file
        Where they are.
    read, used
        Number of those in the file, and of those that were used.
    reasons
        Kinds of problems, see `recommender.catalog.DataReport.counts`, with the number that each left out.
    """

    what: Literal["products", "events", "photos"]
    file: str
    read: int
    used: int
    reasons: Mapping[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """Return the share that was lost, and the main reasons."""
        reasons = sorted(self.reasons.items(), key=lambda reason: -reason[1])
        named = [f"{self._share(count)} {reason}" for reason, count in reasons[:_MAX_REASONS]]
        named += ["others"] if len(reasons) > _MAX_REASONS else []
        why = f" ({', '.join(named)})" if named else ""
        return f"{self._share(self.read - self.used)} of {self.read:,} {self.what}{why}"

    @property
    def is_most(self) -> bool:
        """Whether more than half was lost."""
        return self.read - self.used > _MAX_LOST * self.read

    def refusal(self, strict: bool) -> str | None:
        """Return why nothing is to be trained on what is left; None where it may be.

        Parameters
        ----------
        strict
            Whether most events or photos may not be lost for any reason, such as products that are gone.
        """
        unclear = self.reasons.get(UNCLEAR_ID, 0) > _MAX_LOST * self.read
        if self.what == "events" and self.read and (unclear or not self.used):
            cause = "their product ids look like the catalogue's in another form" if unclear else "none is left"
            return f"{self.file}: lost {self}: {cause}; {_REMEDIES[self.what]}"
        if self.is_most and (strict or self.what == "products"):
            return f"{self.file}: lost {self}; {_REMEDIES[self.what]}"
        return None

    def _share(self, count: int) -> str:
        share = count / self.read
        return f"{share:.0%}" if share >= 0.01 else f"{share:.2%}" if share >= 0.0001 else "under 0.01%"


def loss_line(losses: Sequence[Loss]) -> str:
    """Return one line on everything that was lost, by shares; "" if nothing was."""
    lost = [str(loss) for loss in losses if loss.used < loss.read]
    return f"LOST: {'; '.join(lost)}" if lost else ""


def refuse_losses(losses: Sequence[Loss], strict: bool = False) -> None:
    """Raise if most products are lost, or if most events name products in another form than the catalogue.

    Parameters
    ----------
    losses
        See `recommender.catalog.DataReport.losses`.
    strict
        Whether to raise, too, if most events or photos were lost for any reason.

    Raises
    ------
    DataError
        What was lost, why, and what to do.
    """
    for loss in losses:
        if refusal := loss.refusal(strict):
            raise DataError(f"{refusal}; `recommender validate` lists the rows")
