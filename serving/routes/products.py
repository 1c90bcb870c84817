"""What the catalogue says of a product, and its picture."""

from typing import Any

from apiflask import APIBlueprint
from flask import Response

from serving.answers import Product
from serving.json import json_response
from serving.problems import Problem
from serving.requests import ItemId
from serving.service import service

bp = APIBlueprint("products", __name__, url_prefix="/v1")
_PICTURE: Any = {200: {"description": "A JPEG", "content": {"image/jpeg": {}}}, 404: "Unknown item, or no photo"}


@bp.get("/items/<item_id>")
@bp.output(Product)
def item(item_id: str) -> Response:
    """Show a product."""
    return json_response(service().engine.recommender.product(item_id))


@bp.get("/items:get")
@bp.input(ItemId, location="query", arg_name="query")
@bp.output(Product)
@bp.doc(responses={404: "Unknown item"})
def item_by_query(query: ItemId) -> Response:
    """Show a product whose id may hold a slash."""
    return json_response(service().engine.recommender.product(query.item_id))


@bp.get("/thumbnails")
@bp.input(ItemId, location="query", arg_name="query")
@bp.doc(responses=_PICTURE)
def thumbnail(query: ItemId) -> Response:
    """Show a product's picture, small."""
    picture = service().engine.recommender.thumbnail(query.item_id)
    if picture is None:
        raise Problem(404, "no-photo", f"item {query.item_id!r} has no photo")
    return Response(picture, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})
