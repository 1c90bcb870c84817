"""Routes of products: attributes, thumbnails and live changes."""

from collections.abc import Mapping
from typing import Any

from apiflask import APIBlueprint
from flask import Response

from recommender.items.sales import SALE, complete_offer
from serving.access import needs, source_of_request
from serving.item_changes import checked, waits, with_availability, with_currency
from serving.json_codec import json_response
from serving.problems import Problem
from serving.recommending import visible
from serving.schemas.events import ItemBatch, ProductData
from serving.schemas.requests import ItemId
from serving.schemas.responses import Changed, Product
from serving.service import service

bp = APIBlueprint("products", __name__, url_prefix="/v1")
_JPEG: Any = {200: {"description": "A JPEG", "content": {"image/jpeg": {}}}, 404: "Unknown item, or no photo"}
_UNKNOWN: Any = {404: "Unknown item"}


@bp.get("/items/<item_id>")
@bp.output(Product)
def item(item_id: str) -> Response:
    """Return a product."""
    return _product(item_id)


@bp.get("/items:get")
@bp.input(ItemId, location="query", arg_name="query")
@bp.output(Product)
@bp.doc(responses=_UNKNOWN)
def item_by_query(query: ItemId) -> Response:
    """Return a product whose id may contain a slash."""
    return _product(query.item_id)


@bp.get("/thumbnails")
@bp.input(ItemId, location="query", arg_name="query")
@bp.doc(responses=_JPEG)
def thumbnail(query: ItemId) -> Response:
    """Return a product's thumbnail."""
    image = service().live.recommender.thumbnail(query.item_id)
    if image is None:
        raise Problem(404, "no-photo", f"item {query.item_id!r} has no photo")
    return Response(image, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


@bp.put("/items/<item_id>")
@bp.input(ItemId, location="path", arg_name="item")
@bp.input(ProductData, arg_name="product")
@bp.output(Changed)
@needs("server")
def put_item(item_id: str, item: ItemId, product: ProductData) -> Response:
    """Replace all live changes of a product, or add a product."""
    return _put({item.item_id: _attributes_of(item.item_id, product)}, replace=True)


@bp.patch("/items/<item_id>")
@bp.input(ItemId, location="path", arg_name="item")
@bp.input(ProductData, arg_name="product")
@bp.output(Changed)
@bp.doc(responses=_UNKNOWN)
@needs("server")
def patch_item(item_id: str, item: ItemId, product: ProductData) -> Response:
    """Change some attributes of a product; they count in the next request. `PUT` adds a product."""
    service().live.recommender.product(item.item_id)  # a 404 for an id never seen
    return _put({item.item_id: _attributes_of(item.item_id, product)})


@bp.delete("/items/<item_id>")
@bp.input(ItemId, location="path", arg_name="item")
@bp.output(Changed)
@bp.doc(responses=_UNKNOWN)
@needs("server")
def delete_item(item_id: str, item: ItemId) -> Response:
    """Remove a product from all results."""
    return _remove(item.item_id)


@bp.post("/items:batch")
@bp.input(ItemBatch, arg_name="batch")
@bp.output(Changed)
@needs("server")
def patch_items(batch: ItemBatch) -> Response:
    """Change up to 1,000 products, all or none; their ids may contain a slash."""
    return _put({product.id: product.attributes for product in batch.items}, batch=True)


@bp.post("/items:delete")
@bp.input(ItemId, arg_name="item")
@bp.output(Changed)
@bp.doc(responses=_UNKNOWN)
@needs("server")
def delete_item_by_body(item: ItemId) -> Response:
    """Remove a product whose id may contain a slash."""
    return _remove(item.item_id)


def _product(item_id: str) -> Response:
    product = service().live.recommender.product(item_id)
    return json_response({name: product[name] for name in visible(service(), product)})


def _attributes_of(item_id: str, product: ProductData) -> dict[str, Any]:
    if product.id not in (None, item_id):
        errors = [{"pointer": "/id", "detail": f"id is {product.id!r}; the path says {item_id!r}"}]
        raise Problem(422, "invalid-request", errors[0]["detail"], errors)
    return product.attributes


def _put(changes: Mapping[str, Mapping[str, Any]], replace: bool = False, batch: bool = False) -> Response:
    here = service()
    recommender, overlay = here.live.recommender, here.live.overlay
    changes = {
        item_id: checked(recommender, attributes, f"/items/{position}" if batch else "")
        for position, (item_id, attributes) in enumerate(changes.items())
    }
    changes = {item_id: with_availability(recommender, item_id, change) for item_id, change in changes.items()}
    changes = {item_id: with_currency(here.currency, change) for item_id, change in changes.items()}
    has_sales = SALE.issubset(recommender.attributes.names)
    changes = {
        item_id: complete_offer(change) if has_sales or not SALE.isdisjoint(_earlier(item_id)) else change
        for item_id, change in changes.items()
    }
    queue = {item_id for item_id, attributes in changes.items() if waits(recommender, item_id, attributes)}
    added = {item_id for item_id in changes if item_id not in recommender}
    revision = overlay.put(changes, replace=replace, queue=queue, added=added, source=source_of_request())
    return json_response({"revision": revision, "queued": sorted(queue)})


def _earlier(item_id: str) -> Mapping[str, Any]:
    """Return the live changes that a product has."""
    entry = service().live.overlay.get(item_id)
    return {} if entry is None else entry.attributes or {}


def _remove(item_id: str) -> Response:
    service().live.recommender.product(item_id)  # a 404 for an id never seen
    revision = service().live.overlay.put({item_id: None}, queue={item_id}, source=source_of_request())
    return json_response({"revision": revision, "queued": [item_id]})
