"""Pages of the storefront; htmx replaces parts of a page."""

from collections.abc import Sequence
from typing import Any

from flask import Blueprint, render_template, request
from flask.wrappers import Response

from recommender.errors import RecommenderError
from recommender.events import EVENT_WEIGHTS
from recommender.ranking.request import Request, Strategy
from recommender.ranking.results import Recommendations
from recommender.ranking.strategies import in_cart
from recommender.recommender import Recommender
from serving.access import accepts_forms, needs
from serving.images import check_image
from serving.pages import page_response
from serving.problems import Problem, problem_of
from serving.recommending import run
from serving.service import service
from serving.storefront import catalogue, shopper

bp = Blueprint("storefront", __name__, url_prefix="/shop")
PAGE = 24
_RELATED, _MAX_PAGES = 12, 40
MAX_WORDS = 1000  # characters of a search
_IMAGE_TYPES = ("image/jpeg", "image/png", "image/webp")


@bp.get("/")
@needs(None)
def browse() -> Response:
    """Show the products that match filters and a text."""
    rec, words = _recommender(), request.args.get("words", "").strip()[:MAX_WORDS]
    page = min(max(request.args.get("page", 1, int), 1), _MAX_PAGES)
    result = _search(rec, words, page * PAGE)
    shown = catalogue.cards(rec, result)[(page - 1) * PAGE :]
    more = len(result) == page * PAGE < result.eligible
    facets = catalogue.facets_of(result) if words else catalogue.facets(rec.attributes)
    others = [
        (each.reason, catalogue.listed(rec, [item.item_id for item in each.items])) for each in result.alternatives
    ]
    return _page(
        "browse",
        facets=facets,
        cards=shown,
        answer=result,
        words=words,
        others=others,
        page=page,
        more=more,
        form=request.args,
    )


@bp.post("/photo")
@accepts_forms
@needs(None)
def photo() -> Response:
    """Show the products similar to a photo."""
    rec, file = _recommender(), request.files.get("photo")
    if file is None or file.mimetype not in _IMAGE_TYPES:
        raise Problem(422, "invalid-request", "expected a photo: JPEG, PNG or WebP")
    if not service().encodes_queries:
        raise Problem(501, "no-query-encoder", "photos need an encoder: serve with --query-encoder")
    image = file.read()
    check_image(image)
    answer = rec.search(image=image, k=PAGE)
    return _part(
        "results", cards=catalogue.cards(rec, answer), answer=answer, others=[], words="", more=False, page=1
    )


@bp.get("/product")
@needs(None)
def product() -> Response:
    """Show a product, similar products under the sliders' weights, and what is bought together with it."""
    rec, item_id = _recommender(), request.args.get("id", "")
    learned = _learned(rec, item_id)
    weights = _weights(learned)
    facts = {name: value for name, value in rec.product(item_id).items() if name not in _private()}
    similar = rec.similar(item_id, _RELATED, weights=weights, explain=True, filter=_filter(rec))
    together = _complementary(rec, [item_id], similar.item_ids) if item_id in rec else None
    return _page(
        "product",
        item=facts,
        has_image=rec.thumbnail(item_id) is not None,
        sliders=weights or learned,
        learned=learned,
        answer=similar,
        cards=catalogue.cards(rec, similar),
        together=catalogue.cards(rec, together) if together is not None else [],
        facets=catalogue.facets(rec.attributes),
        form=request.args,
    )


@bp.get("/picture")
@needs(None)
def thumbnail() -> Response:
    """Show a product's thumbnail."""
    image = _recommender().thumbnail(request.args.get("id", ""))
    if image is None:
        raise Problem(404, "no-photo", "there is no photo of that")
    return Response(image, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


@bp.get("/for-you")
@needs(None)
def for_you() -> Response:
    """Show recommendations for the shopper."""
    rec, events = _recommender(), shopper.history()
    answer = rec.recommend(events, _RELATED, explain=True)
    seen = catalogue.listed(rec, [event.item_id for event in reversed(events)])[:10]
    return _part("for_you", cards=catalogue.cards(rec, answer), seen=seen, events=len(events), answer=answer)


@bp.get("/basket")
@needs(None)
def basket() -> Response:
    """Show the basket, and what is bought together with its products."""
    rec = _recommender()
    basket_ids = [item_id for item_id in in_cart(shopper.history()) if item_id in rec]
    related = _complementary(rec, basket_ids) if basket_ids else None
    lines = catalogue.listed(rec, basket_ids)
    total = sum(line.get("price") or 0 for line in lines)
    return _page("basket", lines=lines, total=total, cards=catalogue.cards(rec, related) if related else [])


@bp.get("/count")
@needs(None)
def count() -> Response:
    """Show the number of products in the basket."""
    return Response(str(len(in_cart(shopper.history()))), content_type="text/plain")


@bp.post("/events")
@accepts_forms
@needs(None)
def add_event() -> Response:
    """Store an event of the shopper; the parts of the page that depend on it reload."""
    name, item_ids = request.form.get("event_name", ""), request.form.getlist("item_id")
    if name not in EVENT_WEIGHTS or not item_ids or not all(item_id in _recommender() for item_id in item_ids):
        raise Problem(422, "invalid-request", "expected an event_name and products of this shop")
    shopper.add_events(name, item_ids)
    return Response(status=204, headers={"HX-Trigger": "shopped"})


@bp.post("/shopper")
@accepts_forms
@needs(None)
def switch() -> Response:
    """Switch to another shopper."""
    shopper.switch(request.form.get("name", ""))
    return Response(status=204, headers={"HX-Refresh": "true"})


@bp.post("/forget")
@accepts_forms
@needs(None)
def forget() -> Response:
    """Erase the shopper's events."""
    shopper.forget()
    return Response(status=204, headers={"HX-Refresh": "true"})


@bp.get("/kit")
@needs(None)
def kit() -> Response:
    """Show a product page with the storefront kit, which calls the API from the browser."""
    rec = _recommender()
    item_id = request.args.get("item_id") or rec.recommend(k=1, strategy="popular")[0].item_id
    facts = {name: value for name, value in rec.product(item_id).items() if name not in _private()}
    return _page(
        "kit",
        item=facts,
        has_image=rec.thumbnail(item_id) is not None,
        placements=service().placements.state.placement_models,
    )


@bp.get("/figures")
@needs(None)
def figures() -> Response:
    """Show the metrics of the bundle."""
    rec = _recommender()
    metrics = rec.manifest.metrics
    return _page(
        "figures", about=rec.manifest, evaluation=metrics.get("evaluation") or {}, recall=metrics.get("recall", {})
    )


bp.after_request(shopper.set_cookie)


@bp.errorhandler(RecommenderError)
def library_error(error: RecommenderError) -> Response:
    """Show an error of the library."""
    return show_problem(problem_of(error))


@bp.errorhandler(Problem)
def show_problem(problem: Problem) -> Response:
    """Show a problem; for htmx as a part with status 200, since it swaps only those."""
    if request.headers.get("HX-Request"):
        answer = _part("trouble", message=problem.detail)
        answer.headers |= {"HX-Retarget": "#trouble", "HX-Reswap": "innerHTML"}
        return answer
    answer = _page("missing", message=problem.detail)
    answer.status_code = problem.status
    return answer


def _search(rec: Recommender, words: str, k: int) -> Recommendations:
    """Return the products that match a text; without a text, the popular or new."""
    form_filter = _filter(rec)
    if not words:
        strategy: Strategy = "new" if request.args.get("order") == "new" else "popular"
        return rec.recommend(k=k, strategy=strategy, filter=form_filter)
    counted = catalogue.facet_names(rec.attributes)
    encode = service().encodes_queries
    query = Request(
        strategy="search", text=words, k=k, filter=form_filter, explain=True, facets=counted, encode=encode
    )
    return run(rec, query)


def _complementary(rec: Recommender, item_ids: list[str], shown: Sequence[str] = ()) -> Recommendations:
    """Return complementary products that the page does not show already."""
    return rec.recommend(item_ids, _RELATED // 2, strategy="complementary", exclude=shown, explain=True)


def _filter(rec: Recommender) -> dict[str, Any] | None:
    return catalogue.form_filter(rec.attributes, request.args)


def _private() -> frozenset[str]:
    return service().access.private_fields


def _learned(rec: Recommender, item_id: str) -> dict[str, float]:
    """Return the learned weights of the products similar to a product."""
    row = rec.attributes.row_of(item_id)
    return rec.weights[rec.kind_of(row) if row >= 0 else "item"]


def _weights(learned: dict[str, float]) -> dict[str, float] | None:
    """Return the sliders' weights; None if none was moved."""
    values = {name: request.args.get(f"w_{name}", None, float) for name in learned}
    known = {name: max(0.0, value) for name, value in values.items() if value is not None}
    return {**learned, **known} if known else None


def _recommender() -> Recommender:
    return service().live.recommender


def _page(name: str, **data: Any) -> Response:
    generation = _recommender().generation
    shared = {"shopper": shopper.name(), "generation": generation, "encodes_images": service().encodes_queries}
    return page_response(lambda nonce: render_template(f"shop/{name}.html", nonce=nonce, **shared, **data))


def _part(name: str, **data: Any) -> Response:
    return Response(render_template(f"shop/_{name}.html", **data))
