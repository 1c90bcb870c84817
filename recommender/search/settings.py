"""What a bundle's search was measured with: language, weight of the words, and the relevance floor."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

MANIFEST = "search"  # the member of the manifest
# The weight of the words beside the similarity of vectors, whose weights sum to 1.
WORDS_WEIGHT = 2.0
# Without history and weights of the request, popularity decides between products that match equally.
PRIOR_WEIGHT = 0.05
# Share of the query's words that a product has at least, and of what the best product reaches.
MIN_COVERAGE, OF_BEST = 0.4, 0.75


@dataclass(frozen=True)
class SearchSettings:
    """The settings of one bundle's search; the defaults are those of bundles of earlier versions.

    Parameters
    ----------
    language
        Of the shop's texts, see `recommender.search.stemming.LANGUAGES`; None if it is not known.
    words_weight
        Weight of the words beside the similarity of vectors.
    min_coverage, min_similarity
        The relevance floor: a product matches where it has such a share of the query's words, or where its
        similarity to the text is so large. None is no floor of similarity.
    retained
        Share of products that half of the words of their title finds under this floor; None if not measured.
    """

    language: str | None = None
    words_weight: float = WORDS_WEIGHT
    min_coverage: float = MIN_COVERAGE
    min_similarity: float | None = None
    retained: float | None = None

    @classmethod
    def of(cls, manifest_extra: Mapping[str, Any]) -> "SearchSettings":
        """Return the settings of a manifest."""
        return cls(**manifest_extra.get(MANIFEST, {}))

    def to_dict(self) -> dict[str, Any]:
        """Return the member of the manifest."""
        return asdict(self)
