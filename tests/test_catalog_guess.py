"""`recommender init`: a first configuration, guessed from a shop's files."""

import io
import tomllib
import zipfile

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from recommender.catalog import validate
from recommender.catalog.guess import Entry, GuessedConfig, guess_config
from recommender.catalog.headings import plain
from recommender.config import Config
from recommender.errors import DataError


def photo():
    out = io.BytesIO()
    Image.new("RGB", (8, 8), "red").save(out, "JPEG")
    return out.getvalue()


@pytest.fixture
def shop(tmp_path):
    """A German shop: its own headings, lists in cells, paths, photos by number, orders by article."""
    kinds = ("Becher", "Lampe", "Schal", "Stuhl")
    products = pd.DataFrame(
        {
            "lfd": ["1"] * 24,
            "Artikelnummer": [f"A-{n:03}" for n in range(24)],
            "EAN": [str(4_000_000_000_000 + n) for n in range(24)],
            "Bezeichnung": [f"{kinds[n % 4]} aus gutem Stoff Nummer {n}" for n in range(24)],
            "Kategorie": [f"Haus/{kinds[n % 4]}" for n in range(24)],
            "Farbe": ["rot|weiß", "blau|weiß", "rot|blau"] * 8,
            "Preis": [f"{n},90 EUR" for n in range(24)],
        }
    )
    products.to_csv(tmp_path / "artikel.csv", sep=";", index=False)
    orders = pd.DataFrame(
        {
            "Kundennummer": [f"K{n % 7}" for n in range(60)],
            "Artikel": [f"A-{n % 24:03}" for n in range(60)],
            "Bestelldatum": [f"2025-03-{1 + n % 28:02} 10:00:00" for n in range(60)],
            "Aktion": ["angesehen", "in den Warenkorb", "gekauft"] * 20,
        }
    ).rename(columns={"Aktion": "action"})
    orders.to_csv(tmp_path / "verkauf.csv", index=False)
    with zipfile.ZipFile(tmp_path / "bilder.zip", "w") as archive:
        for n in range(24):
            archive.writestr(f"alle/A-{n:03}.JPG", photo())
    return tmp_path


def test_a_shop_with_headings_of_its_own_is_understood(shop):
    guessed = guess_config(shop / "artikel.csv", shop / "verkauf.csv", shop / "bilder.zip", shop)
    tables = tomllib.loads(guessed.to_toml())
    assert tables["catalog"] == {
        "path": "artikel.csv",
        "id": "Artikelnummer",  # not EAN, which is as unique: the orders have it
        "title": "Bezeichnung",
        "product_type": "Kategorie",
        "price": "Preis",
        "color": "Farbe",
        "images": "bilder.zip",
        "image_link": "{Artikelnummer}.jpg",
        "levels": {"Kategorie": "/"},
        "separators": {"Farbe": "|"},
    }
    events = tables["events"]
    assert (events["user_id"], events["item_id"], events["timestamp"]) == (
        "Kundennummer",
        "Artikel",
        "Bestelldatum",
    )
    assert events["event_name"] == "action"
    assert set(events["weights"]) == {"angesehen", "in den Warenkorb", "gekauft"}
    assert events["weights"]["in den Warenkorb"] > events["weights"]["angesehen"]


def test_the_guessed_file_is_read_without_a_problem(shop):
    text = guess_config(shop / "artikel.csv", shop / "verkauf.csv", shop / "bilder.zip", shop).to_toml()
    (shop / "shop.toml").write_text(text, encoding="utf-8")
    report = validate(Config.load(shop / "shop.toml"))
    assert report.errors == 0
    assert (report.facts["products"], report.facts["products with a photo"], report.facts["events"]) == (
        24,
        24,
        60,
    )


def test_every_guess_has_a_comment(shop):
    lines = guess_config(shop / "artikel.csv", shop / "verkauf.csv", None, shop).to_toml().splitlines()
    entries = [line for line in lines if "=" in line and not line.startswith(("#", "path"))]
    assert entries
    assert all("  # " in line for line in entries)


def test_ratings_are_events_named_rate(tmp_path):
    (tmp_path / "p.csv").write_text("sku,name\n" + "".join(f"S{n},Thing of number {n}\n" for n in range(20)))
    rows = "".join(f"u{n},S{n},{1 + n % 5},{1_700_000_000 + n}\n" for n in range(20))
    (tmp_path / "r.csv").write_text("reviewer,sku,stars,time\n" + rows)
    events = tomllib.loads(guess_config(tmp_path / "p.csv", tmp_path / "r.csv").to_toml())["events"]
    assert (events["event_name"], events["value"], events["user_id"]) == ("rate", "stars", "reviewer")


def test_names_may_be_all_that_tells_products_apart(tmp_path):
    (tmp_path / "p.csv").write_text("Name;Preis\nBecher rot;5,00\nLampe;7,00\n")
    tables = tomllib.loads(guess_config(tmp_path / "p.csv").to_toml())
    assert (tables["catalog"]["id"], tables["catalog"]["title"]) == ("Name", "Name")


def test_a_file_without_ids_is_refused_with_its_columns(tmp_path):
    (tmp_path / "p.csv").write_text("color,size\nred,L\nred,L\nblue,M\n")
    with pytest.raises(DataError, match=r"no column that looks like an id.*color, size"):
        guess_config(tmp_path / "p.csv")


def test_photos_that_are_not_there_are_named(shop):
    with pytest.raises(DataError, match="nowhere"):
        guess_config(shop / "artikel.csv", None, shop / "nowhere")


@given(
    st.text(min_size=1), st.text(), st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cc"]))
)
def test_any_heading_can_be_written_as_toml(key, value, why):
    guessed = GuessedConfig({"catalog": [Entry(key, value, why)]})
    assert tomllib.loads(guessed.to_toml())["catalog"] == {key: value}


@given(st.text())
def test_a_plain_heading_stays_as_it_is(heading):
    assert plain(plain(heading)) == plain(heading)


def test_an_export_of_a_shop_system_is_named_by_its_format(tmp_path):
    headings = "Handle,Title,Option1 Name,Option1 Value,Variant SKU,Variant Price,Status\n"
    rows = "".join(f"lamp-{i},Lamp {i},Title,Default Title,S{i},9.50,active\n" for i in range(8))
    (tmp_path / "products_export.csv").write_text(headings + rows, encoding="utf-8")
    row = (
        '{"event": "Product Viewed", "userId": "u", "messageId": "%d", "properties": {"product_id": "lamp-%d"}}\n'
    )
    calls = "".join(row % (i, i) for i in range(8))
    (tmp_path / "calls.jsonl").write_text(calls, encoding="utf-8")
    guessed = guess_config(tmp_path / "products_export.csv", tmp_path / "calls.jsonl", start=tmp_path)
    assert [(entry.key, entry.value) for entry in guessed.tables["catalog"]] == [
        ("path", "products_export.csv"),
        ("format", "shopify"),
    ]
    assert [(entry.key, entry.value) for entry in guessed.tables["events"]] == [
        ("path", "calls.jsonl"),
        ("format", "segment"),
    ]
