"""The arguments of the tools for AI assistants: the members of the HTTP API's requests, without nesting."""

from typing import Self

from pydantic import Field, model_validator

from recommender.ranking.request import Strategy
from serving.schemas.base import RequestModel
from serving.schemas.requests import CommonParams, Filter, Id, Image, Text, Weights

FILTER = (
    'Condition on attributes, such as: price < 50 AND NOT brand: ANY("Acme") AND availability = "in_stock". '
    "Or a tree of conditions."
)
WEIGHTS = 'Weights of parts of the score, such as {"image": 1}; others stay as learned.'
SEEDS = "Products to start from: looked at, or in the basket."
USER = "A user whose stored events count; needs a key of scope server where there are keys."


class ProductListParams(CommonParams):
    """Options of each tool that returns a list of products."""

    filter: Filter | None = Field(default=None, description=FILTER)
    fields: tuple[str, ...] = Field(
        default=(),
        max_length=50,
        description="Attributes of the products to return; by default title, brand, price and the like.",
    )
    weights: Weights | None = Field(default=None, description=WEIGHTS)


class SearchTool(ProductListParams):
    """Arguments of search: a text, an image or both."""

    text: Text | None = Field(default=None, description="What is searched, such as: red leather bag.")
    image: Image | None = Field(default=None, description="A JPEG, PNG or WebP file in base64.")
    user_id: Id | None = Field(default=None, description=USER)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if (self.text, self.image) == (None, None):
            raise ValueError("neither text nor image is given; expected at least one")
        return self


class SimilarTool(ProductListParams):
    """Arguments of similar."""

    item_id: Id = Field(description="The product that the others are compared with.")


class RecommendTool(ProductListParams):
    """Arguments of recommend; without seeds, the popular products are returned."""

    seed_item_ids: tuple[Id, ...] = Field(default=(), max_length=100, description=SEEDS)
    negative_item_ids: tuple[Id, ...] = Field(
        default=(), max_length=100, description="Products unlike which the others shall be."
    )
    user_id: Id | None = Field(default=None, description=USER)
    text: Text | None = Field(default=None, description="What is wanted, such as: oak, modern.")
    strategy: Strategy | None = Field(
        default=None,
        description="complementary: bought together with a product; cart: completes a basket; the others as they "
        "are called. By default similar for one seed, for_you for a user or more seeds, else popular.",
    )
    exclude_item_ids: tuple[Id, ...] = Field(
        default=(), max_length=1000, description="Products that are not returned."
    )


class ExplainTool(RequestModel):
    """Arguments of explain: products, and the seeds for which they are explained."""

    item_ids: tuple[Id, ...] = Field(min_length=1, max_length=100, description="The products to explain.")
    seed_item_ids: tuple[Id, ...] = Field(default=(), max_length=100, description=SEEDS)
    user_id: Id | None = Field(default=None, description=USER)
    text: Text | None = Field(default=None, description="A text query.")
    filter: Filter | None = Field(default=None, description=FILTER)
    weights: Weights | None = Field(default=None, description=WEIGHTS)
