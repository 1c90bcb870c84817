"""Searches: planted titles are found despite typos, nonsense is not, and filters and counts hold."""

import shutil
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recommender
from recommender import Recommender
from recommender.commands.benchmarks.protocols.search import measure, show
from recommender.config import CatalogConfig
from recommender.errors import ConfigError, RequestError
from recommender.items.attributes import Attributes, write_columns
from recommender.search.index import SearchIndex
from recommender.search.phrases import Phrases
from recommender.search.query import parse_prefix, parse_query
from recommender.search.stemming import LANGUAGES, guess_language
from recommender.search.tokens import query_words
from recommender.stores import Store
from serving.app import create_app
from serving.service import KEY
from serving.settings import Settings
from training.search import held_out_titles, random_query
from training.update.compact import compact

NOUNS = ("lamp", "chair", "table", "vase", "basket", "mirror", "carpet", "pillow")
COLORS = ("red", "blue", "green", "white")
BRANDS = ("Acme", "Borealis", "Cumulus")
SEARCH = settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])


def planted_products() -> pd.DataFrame:
    """96 products in 8 kinds, 4 colours and 3 brands; some are variants, and a tenth are out of stock."""
    lines = []
    for number in range(96):
        noun, color, brand = NOUNS[number % 8], COLORS[(number // 8) % 4], BRANDS[(number // 32) % 3]
        lines.append(
            {
                "id": f"Art-{number:03}",
                "title": f"{brand} {color} {noun} model{number:03}",
                "description": f"A {noun} of the house, made with care for this room.",
                "product_type": noun.capitalize(),
                "brand": brand,
                "color": color,
                "price": float(number % 7 + 1),
                "gtin": f"40063813{number:05}",
                "published_at": f"2026-01-{number % 28 + 1:02}",
                "item_group_id": f"g{number // 2}" if number % 3 == 0 else f"own{number}",
                "availability": "out_of_stock" if number % 10 == 9 else "in_stock",
            }
        )
    return pd.DataFrame(lines)


@pytest.fixture(scope="module")
def products() -> pd.DataFrame:
    return planted_products()


@pytest.fixture(scope="module")
def planted_bundles(products: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("planted")
    products.to_csv(folder / "products.csv", index=False)
    config = {
        "catalog": {"path": folder / "products.csv", "kinds": {"gtin": "category"}},
        "encoder": {"text": {"name": "tfidf"}, "image": {"name": "offline"}},
    }
    recommender.fit(recommender.Config.from_mapping(config), out=folder / "bundles")
    return folder / "bundles"


@pytest.fixture(scope="module")
def rec(planted_bundles: Path) -> Recommender:
    return recommender.load(planted_bundles)


def in_stock(products: pd.DataFrame) -> pd.DataFrame:
    return products[products["availability"] == "in_stock"]


def test_ids_and_barcodes_come_first_in_any_form(rec: Recommender, products: pd.DataFrame) -> None:
    for line in in_stock(products).to_dict("records"):
        for text in (line["id"], line["id"].upper(), line["id"].replace("-", "").lower(), f" {line['gtin']} "):
            found = rec.search(text, k=3, explain=True, variants="all")
            assert found.item_ids[0] == line["id"], text
            assert found[0].parts is not None
            assert found[0].parts["identifier"] > 0
            assert sum(found[0].parts.values()) == pytest.approx(found[0].score, abs=1e-9)


def test_an_id_comes_first_whatever_is_boosted(rec: Recommender) -> None:
    boost = [{"when": 'brand: ANY("Cumulus")', "add": 1000.0}]
    assert rec.search("art-001", boost=boost).item_ids[0] == "Art-001"  # type: ignore[arg-type]


@SEARCH
@given(number=st.integers(0, 95), seed=st.integers(0, 10_000))
def test_one_edit_of_a_title_finds_it(rec: Recommender, number: int, seed: int) -> None:
    if number % 10 == 9:
        return
    generator = np.random.default_rng(seed)
    words = str(rec.product(f"Art-{number:03}")["title"]).lower().split()
    position = int(generator.integers(3))  # of brand, colour and noun
    word, at = words[position], int(generator.integers(len(words[position]) - 1))
    if len(word) < 4:
        return
    letter = str(generator.choice([*string.ascii_lowercase]))
    edits = (word[:at] + word[at + 1 :], word[:at] + letter + word[at:], word[:at] + letter + word[at + 1 :])
    words[position] = str(generator.choice([*edits, word[:at] + word[at + 1] + word[at] + word[at + 2 :]]))
    for encode in (True, False):
        assert f"Art-{number:03}" in rec.search(" ".join(words), variants="all", encode=encode).item_ids[:3]


def test_a_typo_alone_is_found_and_named(rec: Recommender) -> None:
    found = rec.search("pilow", encode=False)
    assert {rec.product(item_id)["product_type"] for item_id in found.item_ids} == {"Pillow"}
    assert "words corrected: pilow → pillow" in found.warnings


def test_swapped_words_joined_words_and_other_forms_find_the_same(rec: Recommender) -> None:
    wanted = rec.search("red lamp", k=50, encode=False)
    assert {rec.product(item_id)["product_type"] for item_id in wanted.item_ids} == {"Lamp"}
    for text in ("lamp red", "RED LAMPS", "redlamp"):
        assert set(rec.search(text, k=50, encode=False).item_ids) == set(wanted.item_ids), text


@SEARCH
@given(seed=st.integers(0, 100_000))
def test_random_letters_by_words_find_nothing(rec: Recommender, seed: int) -> None:
    generator = np.random.default_rng(seed)
    text = " ".join("".join(generator.choice([*"qwxzvkj"], 7)) for _ in range(2))
    found = rec.search(text, encode=False)
    assert found.item_ids == []
    assert found.eligible == 0
    assert found.alternatives
    assert all("no product matches" in each.reason for each in found.alternatives)


def test_random_words_find_nothing_with_the_encoder_either(rec: Recommender) -> None:
    generator = np.random.default_rng(99)  # not the queries of the calibration
    empty = [not rec.search(random_query(generator)).item_ids for _ in range(100)]
    assert np.mean(empty) >= 0.9
    assert rec.search_settings.retained is not None
    assert rec.search_settings.retained > 0.9


@SEARCH
@given(
    words=st.lists(st.sampled_from([*NOUNS, *COLORS, *BRANDS, "lmap", "model007", "art-012", "zzz"]), max_size=3),
    brand=st.sampled_from([*BRANDS, None]),
    top=st.integers(1, 8),
    sort=st.sampled_from(["relevance", "price_ascending", "price_descending", "newest", "popular"]),
    encode=st.booleans(),
)
def test_no_result_breaks_the_filter_or_cannot_be_bought(
    rec: Recommender, words: list[str], brand: str | None, top: int, sort: str, encode: bool
) -> None:
    condition = f"price < {top}" + (f' AND brand: ANY("{brand}")' if brand else "")
    found = rec.search(
        " ".join(words) or "?",
        k=100,
        filter=condition,
        sort=sort,
        explain=True,
        encode=encode,  # type: ignore[arg-type]
    )
    shown = [*found.items, *(item for each in found.alternatives for item in each.items)]
    for item in shown:
        product = rec.product(item.item_id)
        assert product["price"] < top
        assert brand is None or product["brand"] == brand
        assert product["availability"] == "in_stock"
        assert item.parts is not None
        assert sum(item.parts.values()) == pytest.approx(item.score, abs=1e-9)
    assert [item.score for item in found] == sorted((item.score for item in found), reverse=True)
    assert len(found) == found.eligible


@pytest.mark.parametrize("condition", [None, 'brand: ANY("Acme")', 'price < 4 AND color: ANY("red", "blue")'])
def test_facets_equal_a_count_of_the_matching_products(
    rec: Recommender, products: pd.DataFrame, condition: str | None
) -> None:
    names = ["brand", "color", "product_type"]
    found = rec.search("lamp", k=100, filter=condition, facets=names, encode=False)
    for name in names:
        matching = in_stock(products)
        matching = matching[matching["product_type"] == "Lamp"]
        if condition and "Acme" in condition and name != "brand":
            matching = matching[matching["brand"] == "Acme"]
        if condition and "price" in condition:
            matching = matching[matching["price"] < 4]
            if name != "color":
                matching = matching[matching["color"].isin(["red", "blue"])]
        expected = matching.groupby(name)["item_group_id"].nunique()
        assert dict(found.facets[name]) == expected[expected > 0].to_dict()


def test_facets_count_variants_once(rec: Recommender, products: pd.DataFrame) -> None:
    found = rec.search("house", k=100, facets=["availability", "brand"], encode=False)
    assert found.eligible == in_stock(products)["item_group_id"].nunique()
    by_brand = in_stock(products).groupby("brand")["item_group_id"].nunique()
    assert dict(found.facets["brand"]) == by_brand.to_dict()


@pytest.mark.parametrize(("name", "message"), [("price", "price is a number"), ("colour", "unknown field")])
def test_facets_of_what_cannot_be_counted_are_refused(rec: Recommender, name: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        rec.search("lamp", facets=[name])


def test_results_are_sorted_by_price_and_date(rec: Recommender) -> None:
    for sort, name, reverse in (
        ("price_ascending", "price", False),
        ("price_descending", "price", True),
        ("newest", "published_at", True),
    ):
        found = rec.search("blue", k=50, sort=sort, encode=False)  # type: ignore[arg-type]
        values = [rec.product(item_id)[name] for item_id in found.item_ids]
        assert values == sorted(values, reverse=reverse)
        assert set(found.item_ids) == set(rec.search("blue", k=50, encode=False).item_ids)


def test_alternatives_say_that_they_are_no_matches(rec: Recommender) -> None:
    found = rec.search("lamp carpet mirror qqqzzz", encode=False)
    assert found.item_ids == []
    fewer, popular = found.alternatives
    assert fewer.text is not None
    assert fewer.text in fewer.reason
    assert {item.item_id for item in fewer.items} <= set(rec.search(fewer.text, k=100, encode=False).item_ids)
    assert popular.text is None


def test_live_changes_are_searched_and_removed_products_are_not(planted_bundles: Path, store: Store) -> None:
    live = recommender.load(planted_bundles, overlay=store.overlay)
    assert live.search("zeppelin", encode=False).item_ids == []
    store.overlay.put({"Art-004": {"title": "Zeppelin", "gtin": "777000111222"}, "Art-005": None})
    assert live.search("zeppelins", encode=False).item_ids == ["Art-004"]
    assert live.search("777000111222", encode=False).item_ids[0] == "Art-004"
    assert "Art-004" not in live.search("4006381300004", encode=False).item_ids
    assert "Art-005" not in live.search("art-005", k=100, encode=False).item_ids
    store.overlay.put({"Art-004": {"availability": "out_of_stock"}})
    assert live.search("zeppelin", encode=False).item_ids == []


def test_updates_are_searched_before_and_after_compaction(
    planted_bundles: Path, products: pd.DataFrame, tmp_path: Path
) -> None:
    bundles = shutil.copytree(planted_bundles, tmp_path / "bundles")
    changed = products.head(3).assign(title=["Quokka lamp", "Wombat chair", "Numbat table"])
    new = products.head(1).assign(id="New-1", title="Bilby vase", gtin="123456789012", item_group_id="new")
    recommender.update(bundles, pd.concat([changed, new]))
    for _ in range(2):
        rec = recommender.load(bundles)
        assert rec.search("wombats", encode=False).item_ids == ["Art-001"]
        assert rec.search("bilby", encode=False).item_ids == ["New-1"]
        assert rec.search("NEW-1", encode=False).item_ids[0] == "New-1"
        assert "Art-001" not in rec.search("model001", encode=False).item_ids
        compact(bundles)


def test_a_bundle_without_an_index_makes_it(planted_bundles: Path) -> None:
    made = recommender.load(planted_bundles, unsearched=["no such column"])
    without = recommender.load(planted_bundles, unsearched=["brand", "title"])
    assert made.search("acme", k=50, encode=False).item_ids
    assert without.search("acme", k=50, encode=False).item_ids == []
    assert without.autocomplete("acm").queries == ()
    assert without.search("lamp", k=50, encode=False).item_ids


def test_autocompletion_has_what_products_have(rec: Recommender, products: pd.DataFrame) -> None:
    for prefix in ("l", "la", "lam", "red la", "acme r", "Acme "):
        found = rec.autocomplete(prefix, filter="price < 5")
        assert found.queries, prefix
        for text, count in found.queries:
            assert text.lower().startswith(prefix.lower().strip())
            lines = in_stock(products)[in_stock(products)["price"] < 5]
            words = lines["title"].str.lower() + " " + lines["product_type"].str.lower()
            has = pd.concat([words.str.contains(rf"\b{word}") for word in query_words(text)], axis=1).all(axis=1)
            assert count == lines[has]["item_group_id"].nunique()
        assert all(rec.product(item.item_id)["price"] < 5 for item in found.items)
    assert rec.autocomplete("lam").items
    assert rec.autocomplete("qwxz").queries == rec.autocomplete("qwxz").items == ()


WORDS = st.lists(st.sampled_from(["oak", "elm", "ash", "fir", "yew"]), min_size=1, max_size=4).map(" ".join)


@given(titles=st.lists(WORDS, min_size=1, max_size=12), query=WORDS)
@settings(max_examples=40)
def test_coverage_is_the_share_of_words_by_an_independent_count(
    tmp_path_factory: pytest.TempPathFactory, titles: list[str], query: str
) -> None:
    folder = tmp_path_factory.mktemp("words")
    write_columns(folder, [f"{n:03}" for n in range(len(titles))], {"title": "text"}, {"title": titles})
    index = SearchIndex.of(Attributes.open(folder), None)
    index.save(folder / "search")
    match = SearchIndex.open(folder / "search", len(titles)).match(parse_query(index, query))
    n, words = len(titles), sorted({*query.split()})
    df = {word: sum(word in title.split() for title in titles) for word in words}
    idf = {word: np.log1p((n - df[word] + 0.5) / (df[word] + 0.5)) for word in words if df[word]}
    total = sum(idf.values()) * len(words) / max(len(idf), 1)
    expected = [sum(value for word, value in idf.items() if word in title.split()) for title in titles]
    assert match.coverage == pytest.approx(np.array(expected) / max(total, 1e-9), abs=1e-5)
    assert (match.values <= match.coverage + 1e-6).all()


def test_stemming_follows_the_language(tmp_path: Path) -> None:
    write_columns(tmp_path, ["1", "2"], {"title": "text"}, {"title": ["Rote Lampen", "Blaue Vase"]})
    german = SearchIndex.of(Attributes.open(tmp_path), "german")
    assert german.match(parse_query(german, "lampe")).coverage.tolist() == [1.0, 0.0]
    assert german.match(parse_prefix(german, "blaue v")).coverage[1] == pytest.approx(1.0)
    assert guess_language(["Der Tisch und die Lampe sind aus Holz und nicht aus Glas"] * 5) == "german"
    assert guess_language(["Nike Air Max 90"] * 100) is None
    assert CatalogConfig(path=Path("p.csv"), language="de").language == "german"
    with pytest.raises(ConfigError, match="ISO 639-1"):
        recommender.Config.from_mapping({"catalog": {"path": "p.csv", "language": "klingon"}})
    assert "english" in LANGUAGES


def test_phrases_are_those_that_products_share(tmp_path: Path) -> None:
    titles = ["round neck shirt", "round neck top", "round neck", "square"]
    write_columns(tmp_path, ["1", "2", "3", "4"], {"title": "text"}, {"title": titles})
    phrases = Phrases.of(Attributes.open(tmp_path))
    assert sorted(phrases.completing("ro")) == ["round", "round neck"]
    assert [*phrases.completing("sq")] == []


def test_held_out_titles_have_half_of_the_words(rec: Recommender) -> None:
    for row, text in held_out_titles(rec.attributes, 20, np.random.default_rng(0)):
        words = str(rec.attributes.value("title", row)).split()
        assert len(text.split()) == 2
        assert set(text.split()) <= set(words)


def test_the_service_pages_through_a_search(planted_bundles: Path, tmp_path: Path) -> None:
    app = create_app(planted_bundles, Settings(store=f"sqlite:///{tmp_path}/s.db"), watch_seconds=None)
    client = app.test_client()
    whole = client.post("/v1/search", json={"text": "lamp", "limit": 100, "facets": ["color"]}).json
    assert whole is not None
    pages: list[dict[str, object]] = []
    cursor = None
    while True:
        page = client.post("/v1/search", json={"text": "lamp", "limit": 4, "cursor": cursor}).json
        assert page is not None
        pages += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert pages == whole["items"]
    assert whole["next_cursor"] is None
    assert whole["retrieval"]["eligible"] == len(pages) > 4
    assert sum(each["count"] for each in whole["facets"]["color"]) >= len(pages)
    empty = client.post("/v1/search", json={"text": "qwxz blorf", "fields": ["title"]}).json
    assert empty is not None
    assert empty["items"] == []
    assert empty["alternatives"][0]["items"][0]["fields"]["title"]
    completed = client.get("/v1/autocomplete?q=lam&fields=title").json
    assert completed is not None
    assert completed["queries"][0]["text"] == "Lamp"
    for path, sent in (("facets", ["price"]), ("sort", "cheapest"), ("cursor", "WzFd"), ("facet", [])):
        refused = client.post("/v1/search", json={"text": "lamp", path: sent})
        assert refused.status_code == 422, path
    app.extensions[KEY].close()


def test_the_benchmark_measures_each_kind(rec: Recommender) -> None:
    figures = measure(rec, 8, 0)
    assert figures["kinds"]["id"]["fused"]["first"] == 1.0
    assert figures["kinds"]["title"]["fused"]["recall"] == 1.0
    assert set(figures["milliseconds"]) == {"search", "encoder", "autocomplete"}
    assert "nonsense" in show(figures)
