"""Routes of bundles: list, activate and roll back generations."""

from apiflask import APIBlueprint
from flask import Response

from recommender.bundle import current, generations, lineage_of, published, rollback
from recommender.errors import BundleError
from serving.access import needs
from serving.json_codec import json_response
from serving.paging import page_of
from serving.problems import Problem
from serving.schemas.events import Page
from serving.schemas.responses import Activated, Generations
from serving.service import service

bp = APIBlueprint("bundles", __name__, url_prefix="/v1")


@bp.get("/bundles")
@bp.input(Page, location="query", arg_name="query")
@bp.output(Generations)
@needs("admin")
def list_generations(query: Page) -> Response:
    """List the published generations, the newest last."""
    folder = service().bundles
    now = published(folder) or current(folder)
    known = [
        {
            "generation": each.generation,
            "created_at": each.created_at,
            "products": each.n,
            "current": each.generation == now,
            "previous": (lineage := lineage_of(folder, each.generation)).previous,
            "compacted": lineage.compacted,
        }
        for each in generations(folder)
    ]
    page, cursor = page_of(known, ("generation",), query.limit, query.cursor)
    in_service = service().live.recommender.generation
    return json_response({"generations": page, "in_service": in_service, "next_cursor": cursor})


@bp.post("/bundles/<string:generation>:activate")
@bp.output(Activated)
@bp.doc(responses={409: "It cannot be opened"})
@needs("admin")
def activate(generation: str) -> Response:
    """Make a generation current."""
    return _activated(generation)


@bp.post("/bundles:rollback")
@bp.output(Activated)
@bp.doc(responses={409: "There is none before the current one"})
@needs("admin")
def roll_back() -> Response:
    """Take back the last fit or update: make the generation before it current."""
    return _activated(None)


def _activated(generation: str | None) -> Response:
    here = service()
    if here.shares_bundle:
        detail = f"market {here.market!r} shares its bundle; activate a generation where the bundle belongs"
        raise Problem(409, "conflict", detail)
    try:
        now = rollback(here.bundles, generation)
    except BundleError as error:
        raise Problem(409, "conflict", str(error)) from None
    except OSError as error:
        detail = f"{here.bundles} cannot be written: {error.strerror}; activate where bundles are published"
        raise Problem(503, "not-writable", detail) from None
    here.follower.wake()  # the parts of that generation may not be here
    here.live.refresh("bundle", "experiment", "metrics")
    return json_response({"generation": now})
