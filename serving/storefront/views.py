"""The storefront's pages; htmx takes out of a page the part that it wants anew."""

from typing import Any

from flask import Blueprint, render_template, request
from flask.wrappers import Response

from recommender.errors import RecommenderError
from recommender.events import EVENT_WEIGHTS
from recommender.ranking.request import Strategy
from recommender.ranking.results import Recommendations
from recommender.ranking.strategies import in_cart
from recommender.recommender import Recommender
from serving.access import needs
from serving.pages import page_response
from serving.problems import Problem, problem_of
from serving.service import service
from serving.storefront import catalogue, shopper

bp = Blueprint("storefront", __name__, url_prefix="/shop")
PAGE = 24
_BESIDE, _MOST_PAGES = 12, 40
_PICTURES = ("image/jpeg", "image/png", "image/webp")


@bp.get("/")
@needs(None)
def browse() -> Response:
    """Show the range, narrowed by filters and words."""
    rec, words = _recommender(), request.args.get("words", "").strip()
    page = min(max(request.args.get("page", 1, int), 1), _MOST_PAGES)
    answer, note = _found(rec, words, page * PAGE)
    shown = catalogue.cards(rec, answer)[(page - 1) * PAGE :]
    more = len(answer) == page * PAGE < answer.eligible
    facets = catalogue.facets(rec.attributes)
    return _page(
        "browse",
        facets=facets,
        cards=shown,
        answer=answer,
        words=words,
        note=note,
        page=page,
        more=more,
        said=request.args,
    )


@bp.post("/photo")
@needs(None)
def photo() -> Response:
    """Show what looks like a photo."""
    rec, file = _recommender(), request.files.get("photo")
    if file is None or file.mimetype not in _PICTURES:
        raise Problem(422, "invalid-request", "expected a photo: JPEG, PNG or WebP")
    if not service().encodes_queries:
        raise Problem(501, "no-query-encoder", "photos need an encoder: serve with --query-encoder")
    answer = rec.search(image=file.read(), k=PAGE)
    return _part(
        "results", cards=catalogue.cards(rec, answer), answer=answer, note="", words="", more=False, page=1
    )


@bp.get("/product")
@needs(None)
def product() -> Response:
    """Show a product, what is like it under the sliders' weights, and what goes with it."""
    rec, item_id = _recommender(), request.args.get("id", "")
    learned = _learned(rec, item_id)
    weights = _weights(learned)
    facts = rec.product(item_id)
    similar = rec.similar(item_id, _BESIDE, weights=weights, explain=True, filter=_filter(rec))
    together = _complementary(rec, [item_id]) if item_id in rec else None
    return _page(
        "product",
        item=facts,
        pictured=rec.thumbnail(item_id) is not None,
        sliders=weights or learned,
        learned=learned,
        answer=similar,
        cards=catalogue.cards(rec, similar),
        together=catalogue.cards(rec, together) if together is not None else [],
        facets=catalogue.facets(rec.attributes),
        said=request.args,
    )


@bp.get("/picture")
@needs(None)
def picture() -> Response:
    """Show a product's picture."""
    found = _recommender().thumbnail(request.args.get("id", ""))
    if found is None:
        raise Problem(404, "no-photo", "there is no photo of that")
    return Response(found, content_type="image/jpeg", headers={"Cache-Control": "max-age=3600"})


@bp.get("/for-you")
@needs(None)
def for_you() -> Response:
    """Show what the shopper's events lead to."""
    rec, events = _recommender(), shopper.history()
    answer = rec.recommend(events, _BESIDE, explain=True)
    seen = catalogue.listed(rec, [event.item_id for event in reversed(events)])[:10]
    return _part("for_you", cards=catalogue.cards(rec, answer), seen=seen, events=len(events), answer=answer)


@bp.get("/basket")
@needs(None)
def basket() -> Response:
    """Show the basket, and what goes with it."""
    rec = _recommender()
    held = [item_id for item_id in in_cart(shopper.history()) if item_id in rec]
    beside = _complementary(rec, held) if held else None
    lines = catalogue.listed(rec, held)
    total = sum(line.get("price") or 0 for line in lines)
    return _page("basket", lines=lines, total=total, cards=catalogue.cards(rec, beside) if beside else [])


@bp.get("/count")
@needs(None)
def count() -> Response:
    """Show how much is in the basket."""
    return Response(str(len(in_cart(shopper.history()))), content_type="text/plain")


@bp.post("/events")
@needs(None)
def tell() -> Response:
    """Store what the shopper did; parts of the page that go by it hear of it."""
    name, item_ids = request.form.get("event_name", ""), request.form.getlist("item_id")
    if name not in EVENT_WEIGHTS or not item_ids or not all(item_id in _recommender() for item_id in item_ids):
        raise Problem(422, "invalid-request", "expected an event_name and products of this shop")
    shopper.tell(name, item_ids)
    return Response(status=204, headers={"HX-Trigger": "shopped"})


@bp.post("/shopper")
@needs(None)
def become() -> Response:
    """Play another shopper."""
    shopper.become(request.form.get("name", ""))
    return Response(status=204, headers={"HX-Refresh": "true"})


@bp.post("/forget")
@needs(None)
def forget() -> Response:
    """Erase what the shopper did."""
    shopper.forget()
    return Response(status=204, headers={"HX-Refresh": "true"})


@bp.get("/figures")
@needs(None)
def figures() -> Response:
    """Show how good the bundle is."""
    rec = _recommender()
    metrics = rec.manifest.metrics
    return _page(
        "figures", about=rec.manifest, evaluation=metrics.get("evaluation") or {}, recall=metrics.get("recall", {})
    )


bp.after_request(shopper.remembered)


@bp.errorhandler(RecommenderError)
def told(error: RecommenderError) -> Response:
    """Show an expected error in words, in the place of what was asked for."""
    return trouble(problem_of(error))


@bp.errorhandler(Problem)
def trouble(problem: Problem) -> Response:
    """Show what is wrong; htmx shows it too, since it only swaps what went well."""
    if request.headers.get("HX-Request"):
        answer = _part("trouble", message=problem.detail)
        answer.headers |= {"HX-Retarget": "#trouble", "HX-Reswap": "innerHTML"}
        return answer
    answer = _page("missing", message=problem.detail)
    answer.status_code = problem.status
    return answer


def _found(rec: Recommender, words: str, k: int) -> tuple[Recommendations, str]:
    """Answer words by what they mean, or else by titles; without words, the popular or the newest."""
    narrowed = _filter(rec)
    if not words:
        strategy: Strategy = "new" if request.args.get("order") == "new" else "popular"
        return rec.recommend(k=k, strategy=strategy, filter=narrowed), ""
    if service().encodes_queries:
        try:
            return rec.search(words, k=k, filter=narrowed, explain=True), ""
        except Problem as problem:
            note = problem.detail
    else:
        note = "found by title: this service has no encoder, see --query-encoder"
    ids = rec.attributes.ids.ids_of(catalogue.titled(rec.attributes, words).nonzero()[0])
    by_title = {"must": [{"ids": ids}, *([narrowed] if narrowed else [])]}
    return rec.recommend(k=k, strategy="popular", filter=by_title), note


def _complementary(rec: Recommender, item_ids: list[str]) -> Recommendations:
    return rec.recommend(item_ids, _BESIDE // 2, strategy="complementary", explain=True)


def _filter(rec: Recommender) -> dict[str, Any] | None:
    return catalogue.narrowed(rec.attributes, request.args)


def _learned(rec: Recommender, item_id: str) -> dict[str, float]:
    """Return the weights by which the service finds what is like a product."""
    row = rec.attributes.row_of(item_id)
    return rec.weights[rec.kind_of(row) if row >= 0 else "item"]


def _weights(learned: dict[str, float]) -> dict[str, float] | None:
    """Return the sliders' weights; None where they were not touched."""
    said = {name: request.args.get(f"w_{name}", None, float) for name in learned}
    known = {name: max(0.0, value) for name, value in said.items() if value is not None}
    return {**learned, **known} if known else None


def _recommender() -> Recommender:
    return service().live.recommender


def _page(name: str, **data: Any) -> Response:
    generation = _recommender().generation
    shared = {"shopper": shopper.name(), "generation": generation, "reads_photos": service().encodes_queries}
    return page_response(lambda nonce: render_template(f"shop/{name}.html", nonce=nonce, **shared, **data))


def _part(name: str, **data: Any) -> Response:
    return Response(render_template(f"shop/_{name}.html", **data))
