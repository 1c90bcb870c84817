"""Whatever is sent is answered as the document says."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from flask.testing import FlaskClient
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error, status_code_conformance

from recommender.commands.benchmarks.malformed import MalformedRequests
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from tests.http_api.helpers import rec_of
from tests.test_filters_oracle import bounds, groups, holds


@pytest.mark.slow
def test_valid_requests_are_answered_as_documented(demo_bundles: Path, tmp_path: Path) -> None:
    service = {"store": f"sqlite:///{tmp_path}/fuzz.db", "rate": 1e6, "burst": 10**6, "log_level": "error"}
    app = create_app(demo_bundles, Settings(**service), watch_seconds=None)
    schema = schemathesis.openapi.from_wsgi("/openapi.json", app)
    checks = [not_a_server_error, status_code_conformance]
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.path in ("/v1/bundles/{generation}:activate", "/v1/bundles:rollback"):
            continue  # they would change the bundle of other tests

        @settings(max_examples=25, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy())
        def check(case: Any) -> None:
            answer = case.call()
            if answer.status_code != 501:  # the document's own way to say that there is no encoder
                case.validate_response(answer, checks=checks)

        check()
    app.extensions[KEY].close()


@pytest.fixture
def products(client: FlaskClient) -> dict[str, dict[str, Any]]:
    rec = rec_of(client)
    # out-of-stock items are excluded unless a filter names availability, as these do not
    known = {item_id: rec.product(item_id) for item_id in rec.ids}
    return {item_id: product for item_id, product in known.items() if product["availability"] == "in_stock"}


def test_a_filter_over_http_equals_a_reference_implementation(
    client: FlaskClient, products: dict[str, dict[str, Any]]
) -> None:
    variants_of = {item_id: product["item_group_id"] or item_id for item_id, product in products.items()}

    @settings(max_examples=40, deadline=None)
    @given(filter=trees([*products.values()]))
    def check(filter: dict[str, Any]) -> None:
        answer = client.post("/v1/recommendations", json={"filter": filter, "limit": 100})
        assert answer.status_code == 200, answer.json
        expected = {item_id for item_id, product in products.items() if holds(filter, product, {})}
        answered = {item["item_id"] for item in answer.json["items"]}
        assert answered <= expected
        assert {variants_of[item_id] for item_id in answered} == {variants_of[item_id] for item_id in expected}

    check()


def trees(products: list[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw filters about what these products have."""

    def conditions(name: str) -> st.SearchStrategy[dict[str, Any]]:
        values = st.sampled_from([product[name] for product in products])
        ranges, several = st.dictionaries(bounds, values, min_size=1), st.lists(values, max_size=3)
        operand = {"range": ranges} if name == "price" else {"any": several}
        return st.fixed_dictionaries({"field": st.just(name), **operand})

    return st.recursive(st.sampled_from(["brand", "color", "price"]).flatmap(conditions), groups, max_leaves=8)


def test_malformed_requests_are_refused_without_internals(client: FlaskClient) -> None:
    document = client.get("/openapi.json").json
    for sent in MalformedRequests(document, seed=0).requests(500):
        answer = client.open(sent.path, method=sent.method, data=sent.body, content_type=sent.content_type)
        text = answer.get_data(as_text=True)
        assert answer.status_code < 500 or answer.status_code == 501, sent
        assert answer.status_code < 400 or answer.content_type == "application/problem+json", sent
        assert "Traceback" not in text
        assert "site-packages" not in text
