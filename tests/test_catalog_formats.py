"""Exports of shop systems and trackers, by their public specifications."""

import json

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recommender.catalog import Catalog, Interactions
from recommender.config import Config
from recommender.errors import DataError

# https://support.google.com/merchants/answer/14987622 (RSS 2.0) and its attributes
MERCHANT_XML = """\
<?xml version="1.0"?>
<rss xmlns:g="http://base.google.com/ns/1.0" version="2.0"><channel>
<title>Example store</title><link>https://example.com</link><description>All of it</description>
<item>
<g:id>TV_123456</g:id>
<title>Chromecast with Google TV</title>
<g:description>Streams &lt;b&gt;everything&lt;/b&gt; in up to 4K HDR</g:description>
<g:link>https://example.com/chromecast</g:link>
<g:image_link>https://images.example.com/TV_123456.png</g:image_link>
<g:additional_image_link>https://images.example.com/TV_2.png</g:additional_image_link>
<g:additional_image_link>https://images.example.com/TV_3.png</g:additional_image_link>
<g:condition>new</g:condition>
<g:availability>in stock</g:availability>
<g:price>59.99 USD</g:price>
<g:sale_price>49.99 USD</g:sale_price>
<g:brand>Google</g:brand>
<g:product_type>Home &gt; Electronics &gt; Televisions</g:product_type>
<g:shipping><g:country>US</g:country><g:price>4.95 USD</g:price></g:shipping>
</item>
<item>
<g:id>CUP</g:id><g:title>Cup</g:title><g:price>9 USD</g:price><g:availability>out_of_stock</g:availability>
<g:brand>Acme</g:brand>
</item>
</channel></rss>
"""
ATOM = """\
<?xml version="1.0"?>
<feed xmlns="http://www.w3.org/2005/Atom" xmlns:g="http://base.google.com/ns/1.0">
<title>Example store</title><link rel="self" href="https://example.com"/>
<entry><g:id>A</g:id><title>Sofa</title><link href="https://example.com/a"/><g:price>15.00 EUR</g:price></entry>
</feed>
"""
MERCHANT_TSV = """\
id\ttitle\tdescription\tlink\timage link\tprice\tavailability\titem group id\tcolor
A2B4\tMens Pique Polo Shirt\tMade from 100% organic cotton\thttp://www.example.com/asp/sp.asp?id=1030\
\thttp://www.example.com/image1.jpg\t15.00 USD\tin_stock\tPOLO\tRed/White
"""
# https://help.shopify.com/manual/products/import-export/using-csv, as exported until 2024
SHOPIFY = """\
Handle,Title,Body (HTML),Vendor,Product Category,Type,Tags,Published,Option1 Name,Option1 Value,Option2 Name,\
Option2 Value,Variant SKU,Variant Inventory Tracker,Variant Inventory Qty,Variant Inventory Policy,Variant Price,\
Image Src,Image Position,Variant Image,Status
tee,Soft Tee,"<p>Cotton &amp; <b>linen</b></p>",Acme,Apparel > Shirts,Shirts,"summer, cotton",TRUE,Size,S,Colour,\
Red,'TEE-S-R,shopify,3,deny,19.00,https://cdn.shopify.com/tee.jpg,1,https://cdn.shopify.com/red.jpg,active
tee,,,,,,,,,M,,Red,TEE-M-R,shopify,0,deny,19.00,https://cdn.shopify.com/tee2.jpg,2,,
tee,,,,,,,,,L,,Blue,,shopify,0,continue,21.00,,,,
tee,,,,,,,,,,,,,,,,,https://cdn.shopify.com/tee3.jpg,3,,
mug,Mug,,Acme,,Mugs,,TRUE,Title,Default Title,,,,,,deny,9.50,https://cdn.shopify.com/mug.jpg,1,,active
old,Old Mug,,Acme,,Mugs,,TRUE,Title,Default Title,,,,,,deny,9.50,,,,archived
"""
# the same with the headings of today
SHOPIFY_2025 = """\
Title,URL handle,Description,Vendor,Product category,Type,Tags,Published on online store,Status,SKU,Option1 name,\
Option1 value,Price,Inventory tracker,Inventory quantity,Continue selling when out of stock,Product image URL,\
Image position,Variant image URL
Soft Tee,tee,<p>Cotton</p>,Acme,Apparel > Shirts,,,TRUE,Active,T1,Size,S,19.00,shopify,3,FALSE,https://c.dn/t.jpg,1,
,tee,,,,,,,,T2,,M,19.00,shopify,0,FALSE,,,
Hat,hat,,Acme,Apparel > Hats,Hats,,FALSE,Active,H1,Title,Default Title,5,,,,,,
"""
# https://github.com/woocommerce/woocommerce/wiki/Product-CSV-Import-Schema
WOOCOMMERCE = """\
ID,Type,SKU,Name,Published,"Visibility in catalog","Short description",Description,"In stock?","Sale price",\
"Regular price",Categories,Tags,Images,Parent,"Attribute 1 name","Attribute 1 value(s)","Attribute 2 name",\
"Attribute 2 value(s)"
44,variable,vneck,V-Neck T-Shirt,1,visible,<p>Soft.</p>,Very soft.,1,,,"Clothing > Tshirts, Sale","summer, silk",\
"https://woo.example/v.jpg, https://woo.example/v2.jpg",,Color,"Blue, Red",Size,"Large, Small"
76,variation,vneck-red,V-Neck T-Shirt - Red,1,visible,,,1,,20,,,https://woo.example/red.jpg,vneck,Color,Red,,
77,variation,vneck-blue,V-Neck T-Shirt - Blue,1,visible,,,0,15,20,,,,id:44,Color,Blue,,
45,"simple, virtual",album,Album,1,visible,,A record,1,,15,"Music, Black\\, White",,,,,,,
46,simple,draft,Draft,-1,visible,,,1,,15,Music,,,,,,,
47,simple,secret,Secret,1,hidden,,,1,,15,Music,,,,,,,
"""
# https://support.google.com/analytics/answer/7029846: BigQuery writes 64-bit integers as strings
GA4 = [
    {
        "event_date": "20261101",
        "event_timestamp": "1761984000000000",
        "event_name": "view_item",
        "user_id": None,
        "user_pseudo_id": "12.34",
        "event_params": [
            {"key": "page_title", "value": {"string_value": "Tee"}},
            {"key": "ga_session_id", "value": {"int_value": "77"}},
        ],
        "items": [{"item_id": "tee", "item_name": "Tee", "price": 19.0}],
    },
    {
        "event_timestamp": "1761984100000000",
        "event_name": "page_view",
        "user_pseudo_id": "12.34",
        "event_params": [],
        "items": [],
    },
    {
        "event_timestamp": "1761984200500000",
        "event_name": "purchase",
        "user_id": "u1",
        "user_pseudo_id": "12.34",
        "event_params": [],
        "items": [
            {"item_id": "tee", "quantity": "2", "price": 19.0},
            {"item_id": "mug", "quantity": "1", "price": 9.5},
        ],
    },
    {
        "event_timestamp": "1761984200000000",
        "event_name": "begin_checkout",
        "user_pseudo_id": "12.34",
        "event_params": [],
        "items": [{"item_id": "tee"}],
    },
]
# https://docs.aws.amazon.com/personalize/latest/dg/interactions-datasets.html
PERSONALIZE = """\
USER_ID,ITEM_ID,EVENT_TYPE,EVENT_VALUE,TIMESTAMP,IMPRESSION,RECOMMENDATION_ID
1,tee,View,,1586731606,tee|mug,r-1
1,mug,Purchase,9.50,1586735164,,
2,tee,Add To Cart,,1586735179,,
"""


def catalog(tmp_path, text, name, **mapping):
    (tmp_path / name).write_text(text, encoding="utf-8")
    return Catalog.load(Config.model_validate({"catalog": {"path": name, **mapping}, "data_dir": tmp_path}), True)


def events(tmp_path, name, **mapping):
    known = Catalog.from_frame(pd.DataFrame({"id": ["mug", "tee"]}))
    tables = {"catalog": {"path": "p.csv"}, "events": {"path": name, **mapping}, "data_dir": tmp_path}
    return Interactions.load(Config.model_validate(tables), known, strict=True).frame


def test_a_merchant_feed_in_rss(tmp_path):
    frame = catalog(tmp_path, MERCHANT_XML, "feed.xml", format="google_merchant").frame.set_index("id")
    assert frame["title"].to_dict() == {"TV_123456": "Chromecast with Google TV", "CUP": "Cup"}
    assert frame["price"].to_dict() == {"TV_123456": 49.99, "CUP": 9.0}
    tv = frame.loc["TV_123456"]
    assert tv["description"] == "Streams everything in up to 4K HDR"
    assert tv["image_link"] == "https://images.example.com/TV_123456.png"
    assert tv["product_type"] == "Home > Electronics > Televisions"
    assert frame["availability"].tolist() == ["out_of_stock", "in_stock"]
    assert not {"link", "additional_image_link", "shipping"} & set(frame)
    assert frame["sale_price"].fillna(0).to_dict() == {"TV_123456": 49.99, "CUP": 0}
    assert frame["regular_price"].to_dict() == {"TV_123456": 59.99, "CUP": 9.0}
    assert set(frame["currency"]) == {"USD"}


def test_a_merchant_feed_in_atom(tmp_path):
    frame = catalog(tmp_path, ATOM, "feed.xml", format="google_merchant").frame
    assert frame[["id", "title", "price"]].values.tolist() == [["A", "Sofa", 15.0]]


def test_a_merchant_feed_in_tabs(tmp_path):
    frame = catalog(tmp_path, MERCHANT_TSV, "feed.tsv", format="google_merchant").frame
    wanted = ["id", "image_link", "price", "item_group_id", "color"]
    assert frame[wanted].values.tolist() == [
        ["A2B4", "http://www.example.com/image1.jpg", 15.0, "POLO", "Red/White"]
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Fatal error in feed.php", "feed.xml is not an XML file"),
        ("<rss><channel>", "feed.xml has no <item> and no <entry>"),
        ("<html/>", "feed.xml is a web page"),
    ],
)
def test_xml_that_is_not_a_feed(tmp_path, text, message):
    with pytest.raises(DataError, match=message):
        catalog(tmp_path, text, "feed.xml", format="google_merchant")


def test_a_shopify_export(tmp_path):
    frame = catalog(tmp_path, SHOPIFY, "products_export.csv", format="shopify").frame.set_index("id")
    assert frame.index.tolist() == ["mug", "tee/L/Blue", "tee/M/Red", "tee/S/Red"]
    tees = frame[frame["item_group_id"] == "tee"]
    assert tees["sku"].tolist() == ["", "TEE-M-R", "TEE-S-R"]
    assert set(tees["title"]) == {"Soft Tee"}
    assert set(tees["description"]) == {"Cotton & linen"}
    assert set(map(tuple, tees["tags"])) == {("summer", "cotton")}
    assert tees["size"].tolist() == ["L", "M", "S"]
    assert tees["color"].tolist() == ["Blue", "Red", "Red"]
    assert tees["availability"].tolist() == ["in_stock", "out_of_stock", "in_stock"]
    assert tees["image_link"].tolist() == [
        "https://cdn.shopify.com/tee.jpg",
        "https://cdn.shopify.com/tee.jpg",
        "https://cdn.shopify.com/red.jpg",
    ]
    assert frame.loc["mug", ["price", "color", "size", "availability"]].tolist() == [9.5, "", "", "in_stock"]


def test_a_current_shopify_export(tmp_path):
    frame = catalog(tmp_path, SHOPIFY_2025, "products_export.csv", format="shopify").frame
    assert frame["id"].tolist() == ["tee/M", "tee/S"]
    assert set(frame["product_type"]) == {"Apparel > Shirts"}
    assert frame["availability"].tolist() == ["out_of_stock", "in_stock"]


def test_a_mapping_overrides_the_format(tmp_path):
    found = catalog(tmp_path, SHOPIFY, "p.csv", format="shopify", brand="category", id="{item_group_id}:{id}")
    assert "tee:tee/S/Red" in found.ids
    assert set(found.frame["brand"]) == {"Apparel > Shirts", ""}


def test_a_woocommerce_export(tmp_path):
    frame = catalog(tmp_path, WOOCOMMERCE, "wc.csv", format="woocommerce").frame.set_index("id")
    assert frame.index.tolist() == ["44", "45", "76", "77"]
    assert frame["item_group_id"].tolist() == ["44", "", "44", "44"]
    assert frame["product_type"].tolist() == [
        "Clothing > Tshirts",
        "Music",
        "Clothing > Tshirts",
        "Clothing > Tshirts",
    ]
    assert frame["color"].tolist() == [["Blue", "Red"], [], ["Red"], ["Blue"]]
    assert frame["price"].tolist() == [20, 15, 20, 15]  # the product costs what a variation does that is there
    assert frame["availability"].tolist() == ["in_stock", "in_stock", "in_stock", "out_of_stock"]
    assert frame["image_link"].tolist() == [
        "https://woo.example/v.jpg",
        "",
        "https://woo.example/red.jpg",
        "https://woo.example/v.jpg",
    ]
    assert frame.loc["77", "description"] == "Soft. Very soft."


def test_a_file_of_another_system_is_refused(tmp_path):
    with pytest.raises(DataError, match=r'headings of a WooCommerce export; .*Write format = "woocommerce"'):
        catalog(tmp_path, WOOCOMMERCE, "wc.csv", format="shopify")


def test_a_missing_column_is_named_with_its_nearest(tmp_path):
    text = WOOCOMMERCE.replace(",Name,", ",Nane,", 1)
    with pytest.raises(DataError, match=r"no column 'Name' \(of a WooCommerce export\); did you mean 'Nane'\?"):
        catalog(tmp_path, text, "wc.csv", format="woocommerce")


def test_a_misspelt_column_is_reported(tmp_path):
    text = WOOCOMMERCE.replace("Regular price", "Regular prices", 1)
    report = catalog(tmp_path, text, "wc.csv", format="woocommerce").report
    assert [problem.message for problem in report.problems if problem.kind == "unknown heading"] == [
        "has no column 'Regular price' of a WooCommerce export; did you mean 'Regular prices' by it? Rename it; "
        "taken as another attribute"
    ]


def test_products_not_for_sale_are_one_line_of_the_report(tmp_path):
    report = catalog(tmp_path, SHOPIFY, "products_export.csv", format="shopify").report
    assert report.lines().count("1 products not for sale") == 1


def test_a_shop_without_a_product_for_sale_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"none of its 5 products is for sale"):
        catalog(
            tmp_path, SHOPIFY.replace(",TRUE,", ",FALSE,").replace("archived", "draft"), "p.csv", format="shopify"
        )


def test_a_mapping_without_a_format_is_of_the_files_own_columns(tmp_path):
    found = catalog(tmp_path, SHOPIFY_2025, "p.csv", id="SKU", title="Title")
    assert found.ids == ["H1", "T1", "T2"]


def test_events_name_products_by_sku(tmp_path):
    known = catalog(tmp_path, SHOPIFY, "products_export.csv", format="shopify")
    events = pd.DataFrame({"user_id": ["u"], "item_id": ["TEE-S-R"], "timestamp": ["2025-01-01"]})
    found = Interactions.from_frame(events, known, event_name="purchase")
    assert [known.ids[row] for row in found.frame["row"]] == ["tee/S/Red"]


@pytest.mark.parametrize("name", ["ga4.jsonl", "ga4.parquet"])
def test_ga4_as_bigquery_exports_it(tmp_path, name):
    if name.endswith("jsonl"):
        (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in GA4), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(GA4), tmp_path / name)
    frame = events(tmp_path, name, format="ga4")
    found = frame[["user_id", "item_id", "event_name"]].values.tolist()
    assert found == [["12.34", "tee", "view_item"], ["u1", "tee", "purchase"], ["u1", "mug", "purchase"]]
    assert frame["timestamp"].iloc[1] == pd.Timestamp("2025-11-01T08:03:20.5")


def test_personalize_interactions(tmp_path):
    (tmp_path / "i.csv").write_text(PERSONALIZE, encoding="utf-8")
    frame = events(tmp_path, "i.csv", format="personalize")
    assert frame["event_name"].tolist() == ["view_item", "purchase", "add_to_cart"]
    assert frame["timestamp"].iloc[0] == pd.Timestamp("2020-04-12T22:46:46")


def test_personalize_without_types(tmp_path):
    (tmp_path / "i.csv").write_text("USER_ID,ITEM_ID,TIMESTAMP\n1,tee,1586731606\n", encoding="utf-8")
    with pytest.raises(DataError, match='event_name = "purchase"'):
        events(tmp_path, "i.csv", format="personalize")
    assert events(tmp_path, "i.csv", format="personalize", event_name="purchase")["event_name"].tolist() == [
        "purchase"
    ]


def test_the_format_is_found_out_again_with_the_config_of_a_bundle(tmp_path):
    (tmp_path / "p.csv").write_text(SHOPIFY, encoding="utf-8")
    config = Config.model_validate({"catalog": {"path": "p.csv"}, "data_dir": tmp_path})
    stored = Config.model_validate({**config.to_dict(), "data_dir": tmp_path})
    assert Catalog.load(stored).ids == Catalog.load(config).ids == ["mug", "tee/L/Blue", "tee/M/Red", "tee/S/Red"]
