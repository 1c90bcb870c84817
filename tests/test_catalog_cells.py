"""Cells as shops write them: markup, boilerplate, moments, numbers, codes, conditions over rows, odd headings."""

from datetime import UTC, date, datetime, timedelta
from types import SimpleNamespace
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.catalog import Catalog, Interactions
from recommender.catalog.values.boilerplate import find_boilerplate, without_boilerplate
from recommender.catalog.values.cells import fields, fill, numbers
from recommender.catalog.values.kinds import are_codes, kind_of
from recommender.catalog.values.markup import plain_text
from recommender.catalog.values.moments import read_moments
from recommender.config import Config
from recommender.errors import ConfigError, DataError, RequestError
from recommender.events import as_events
from recommender.items.moments import as_moment, parse
from tests.attribute_tables import attributes
from training.update.embed import complete_catalog

NOON = datetime(2024, 11, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        ("5 < 6 and 7 > 2", "5 < 6 and 7 > 2"),
        ("I <3 it, a<b and c>d, <brand>", "I <3 it, a<b and c>d, <brand>"),
        ("<p>Warm &amp;amp; light</p>", "Warm & light"),
        ("&lt;p&gt;Warm&lt;/p&gt;light", "Warm light"),
        ("H<sub>2</sub>O<br>l<b>igh</b>t", "H2O light"),
        ("<script>if (a<b) {}</script>x<STYLE>p{}</STYLE>y<!-- <p>no</p> -->", "x y"),
        ('<p title="a > b" hidden>q</p><o:p></o:p><img src=x>', "q"),
        ('cut <a href="https://', "cut"),
        (r"One\nline \r\nor\ttwo, 12\" wide", 'One line or two, 12" wide'),
        (r"see C:\new\table", r"see C:\new\table"),
        ('[gallery ids="1,2"]x [vc_row]y[/vc_row] [NEW] [2 pack]', "x y [NEW] [2 pack]"),
        ("{{ product.title }} a {% if b %}c{% endif %}", "a c"),
        ("zero\u200bwidth\x00 so\u00adft\ufeff &nbsp;x", "zerowidth soft x"),
        ("cafe\u0301 & Größe", "café & Größe"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("schÃ¶n â€œgutâ€\x9d", "schön “gut”"),
        ("AÇÃO, Pâté, R&D, AT&T; a?x=1&copy=2", "AÇÃO, Pâté, R&D, AT&T; a?x=1&copy=2"),
    ],
)
def test_markup_becomes_plain_text(cell, text):
    assert plain_text(pd.Series([cell]))[0] == text
    assert plain_text(pd.Series([[cell, ""], []]))[0] == [text]


@given(st.text(alphabet="ab <>/&;{}[]\\n\"'=p\u200b", max_size=40))
def test_plain_text_is_stable_without_markup_and_never_fails(text):
    clean = plain_text(pd.Series([text]))[0]
    if not set(text) & set("<&{[\\\u200b") and "]]>" not in text:
        assert clean == text.strip()
    assert "\u200b" not in clean


@pytest.mark.parametrize("opening", ["{{", "{%", "<%", '<a "', "<script>", "<!--", "&lt;", '[a b="', "<p title='"])
def test_markup_that_never_ends_costs_no_more_than_its_length(opening):
    assert len(plain_text(pd.Series([opening * 20_000]))[0]) <= len(opening) * 20_000


def test_every_column_of_texts_and_categories_is_cleaned_but_links_and_ids():
    link = "https://shop/a.jpg?w=1&copy=2"
    rows = {
        "id": ["a&amp;b"],
        "title": ["<b>Mug</b>"],
        "brand": ["R&amp;D"],
        "note": ["x\\ny"],
        "image_link": [link],
    }
    frame = Catalog.from_frame(pd.DataFrame({**rows, "tags": [["<i>red</i>"]]}), images=SimpleNamespace()).frame
    assert frame.iloc[0].to_dict() == {
        "id": "a&amp;b", "title": "Mug", "brand": "R&D", "note": "x y", "image_link": link, "tags": ["red"],
    }  # fmt: skip


TERMS = "Free shipping over 50 EUR. 30 days return."


def test_boilerplate_is_shown_but_not_encoded():
    colors = ["red", "blue", "green", "black"]
    described = [f"{TERMS} A {color} mug of {n} cl." if n % 4 else "" for n, color in enumerate(colors * 10)]
    frame = pd.DataFrame({"id": range(40), "title": "Free shipping over 50 EUR mug", "description": described})
    catalog = Catalog.from_frame(frame)
    assert set(catalog.frame["description"]) == set(described)
    assert catalog.report.counts == {"boilerplate": 1}
    assert TERMS in str(catalog.report.problems[0])
    texts = dict(zip(catalog.ids, catalog.texts(), strict=True))
    assert texts["1"] == "Free shipping over 50 EUR mug. blue mug of 1 cl."


def test_what_stands_in_half_of_the_texts_or_in_variants_of_one_product_is_no_boilerplate():
    half = [f"{TERMS} {n}" if n % 2 else f"Mug {n}" for n in range(40)]
    assert find_boilerplate(half) == ()
    assert find_boilerplate([TERMS] * 9) == ()
    variants = pd.DataFrame({"id": range(30), "item_group_id": "m", "description": "A long text of one product."})
    assert Catalog.from_frame(variants).boilerplate == {}


def test_boilerplate_of_scripts_without_spaces():
    texts = [f"全场满五十元包邮。红色杯子{n}" for n in range(20)]
    assert without_boilerplate(texts[:1], find_boilerplate(texts)) == ["0"]


def test_an_update_encodes_texts_as_the_fit_did():
    bundle = SimpleNamespace(
        attributes=attributes(["a"], title=("text", ["Mug"]), description=("text", [f"{TERMS} Red."])),
        manifest=SimpleNamespace(extra={"boilerplate": {"description": [TERMS]}}),
    )
    config = Config.from_mapping({"catalog": {"path": "p.csv"}})
    assert complete_catalog(bundle, {"a": {"title": "Cup"}}, config).texts() == ["Cup. Red."]


def moments(cells, **options):
    found = read_moments(cells if isinstance(cells, pd.Series) else pd.Series(cells), **options)
    return [None if time is pd.NaT else time.to_pydatetime().replace(tzinfo=UTC) for time in found.times]


@pytest.mark.parametrize(
    "text",
    [
        "2024-11-01T12:00:00Z", "2024-11-01 12:00:00 UTC", "2024-11-01 12:00:00.000 UTC", "2024-11-01T13:00+01:00",
        "2024-11-01 13:00:00 +0100", "2024-11-01T13:00:00+01", "20241101T120000", "20241101T120000Z",
        "20241101120000",
        "Fri, 01 Nov 2024 13:00:00 +0100", "Fri, 1 Nov 2024 12:00:00 GMT", "Nov 1, 2024 12:00 PM",
        "1 November 2024 12:00", "Fri Nov 01 2024 13:00:00 GMT+0100 (Central European Standard Time)",
        "Fri Nov  1 12:00:00 2024", "01-NOV-2024 12:00:00", "2024/11/01 12:00", "01.11.2024 12:00",
        "2024-11-01T12:00:00,000Z", "2024-11-01T12:00:00[Europe/London]", "Fri, 1 Nov 2024 07:00 EST",
    ],
)  # fmt: skip
def test_a_moment_in_any_form(text):
    assert moments([text]) == [NOON]
    assert moments([text, "N/A", "", "nonsense"]) == [NOON, None, None, None]
    assert read_moments(pd.Series([text, "N/A", "", "nonsense"])).bad.tolist() == [False, False, False, True]
    local = parse(text)
    assert local is None or local.utc() == NOON


@pytest.mark.parametrize("unit", [1, 10**3, 10**6, 10**9])
def test_posix_numbers_are_of_the_plausible_unit(unit):
    number = 1_730_462_400 * unit
    for cells in ([number], [str(number)], [float(number)], pd.Series([number, None], dtype="Int64")):
        assert moments(cells)[0] == NOON
    assert as_moment(number) == as_moment(str(number)) == NOON
    assert moments([str(number), "N/A", "2024-11-01T12:00:00Z"]) == [NOON, None, NOON]


def test_other_numbers_are_digits_of_a_date_or_days_of_excel():
    days = [datetime(2024, 11, day, tzinfo=UTC) for day in (1, 2)]
    assert moments([20241101, 20241102]) == moments(["20241101", "20241102.0"]) == days
    assert moments([45597.5, 45597.25]) == [NOON, NOON - timedelta(hours=6)]
    small = [1, 2, 40_000]
    assert moments(small) == [datetime.fromtimestamp(number, UTC) for number in small]


def test_a_number_of_another_unit_than_most_is_read_and_told():
    found = read_moments(pd.Series([1_730_462_400, 1_730_462_400, 1_730_462_400_000]))
    assert found.times.nunique() == 1
    assert [mask.tolist() for mask, _ in found.guesses] == [[False, False, True]]


def test_datetimes_of_any_unit_and_zone():
    for unit in ("s", "ms", "us", "ns"):
        times = pd.Series([NOON, None]).dt.tz_localize(None).astype(f"datetime64[{unit}]")
        assert moments(times) == [NOON, None]
        assert moments(times.dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo")) == [NOON, None]
    objects = pd.Series([NOON.astimezone(ZoneInfo("Asia/Tokyo")), date(2024, 11, 1), pd.NaT], dtype=object)
    assert moments(objects) == [NOON, NOON - timedelta(hours=12), None]


def test_moments_beyond_the_calendar_are_bad_and_nothing_fails():
    for cells in ([10**30, 1.7e308, float("inf"), -1e18], ["1e40", "10000-01-01", "0000-01-01", "2024-02-30"]):
        assert read_moments(pd.Series(cells)).bad.all()
    assert read_moments(pd.Series(np.array([2**60, -(2**60)], "datetime64[s]"))).bad.all()
    assert not len(read_moments(pd.Series([], dtype=object)).times)


def test_the_order_of_day_and_month_is_that_which_the_column_shows():
    assert moments(["31/12/2024", "01/11/2024 12:00"])[1] == NOON
    assert moments(["12/31/2024", "11/01/2024 12:00 PM"])[1] == NOON
    assert moments(["11/30/24 10:00", "11/1/24 12:00"])[1] == NOON
    unclear = read_moments(pd.Series(["01/11/2024 12:00", "02/11/2024 12:00"]))
    assert unclear.bad.all()
    assert 'timestamp_format = "%d/%m/%Y %H:%M"' in unclear.expected
    assert moments(["01/11/2024 12:00"], format="%d/%m/%Y %H:%M") == [NOON]
    assert moments(["2024-11-01T12:00:00"], format="%d/%m/%Y") == [NOON]
    wrong = read_moments(pd.Series(["01/11/2024", "2024-11-01"]), format="%d/%m/%Y")
    assert wrong.bad.tolist() == [False, True]
    assert wrong.expected == "a date as %d/%m/%Y, such as 23/11/2026"


def test_moments_without_a_zone_are_of_the_given_one():
    cells = ["2024-11-01 13:00:00", "2024-11-01T12:00:00Z", "1730462400", "13:00 nonsense"]
    assert moments(cells, timezone="Europe/Berlin") == [NOON, NOON, NOON, None]
    assert moments(["01.11.2024 13:00"], timezone="Europe/Berlin", format="%d.%m.%Y %H:%M") == [NOON]
    gap, fold = "2024-03-31 02:30:00", "2024-10-27 02:30:00"
    found = read_moments(pd.Series([gap, fold, "2024-07-01"]), "Europe/Berlin")
    assert found.times.notna().all()
    assert [mask.tolist() for mask, _ in found.guesses] == [[True, True, False]]


@given(st.datetimes(datetime(1990, 1, 2), datetime(2026, 1, 1)), st.integers(-12 * 60, 14 * 60))
def test_a_moment_is_the_same_in_files_and_in_requests(local, minutes):
    sign, (hours, rest) = "-" if minutes < 0 else "+", divmod(abs(minutes), 60)
    text = f"{local:%Y-%m-%dT%H:%M:%S.%f}{sign}{hours:02}:{rest:02}"
    expected = datetime.fromisoformat(text)
    assert moments([text, "x"])[0] == moments([text])[0] == as_moment(text) == expected


EVENTS = "user_id,item_id,event_name,timestamp\n"


def events(tmp_path, lines, **config):
    (tmp_path / "e.csv").write_text(EVENTS + lines)
    catalog = Catalog.from_frame(pd.DataFrame({"id": ["a", "b"]}))
    tables = {"catalog": {"path": "p.csv"}, "events": {"path": tmp_path / "e.csv", **config}}
    return Interactions.load(Config.from_mapping(tables), catalog)


def test_dates_of_products_have_a_zone_and_a_format():
    cells = {"price": 9, "sale_price": 5, "sale_starts": "01/11/2024 13:00", "published_at": "01/11/2024 13:00"}
    frame = pd.DataFrame({"id": ["a"], **{name: [cell] for name, cell in cells.items()}, "added": "2024-11-01"})
    options = {"timezone": "Europe/Berlin", "timestamp_format": "%d/%m/%Y %H:%M"}
    found = Catalog.from_frame(frame, **options).frame.iloc[0]
    assert found["sale_starts"] == found["published_at"] == pd.Timestamp("2024-11-01 12:00")
    assert found["added"] == pd.Timestamp("2024-10-31 23:00")


def test_one_bad_time_costs_one_event(tmp_path):
    lines = "".join(f"u,a,purchase,{1_730_462_400 + n if n != 7 else 'N/A'}\n" for n in range(30))
    found = events(tmp_path, lines)
    assert len(found) == 29
    assert [problem.row for problem in found.report.problems] == [9]


def test_times_of_events_have_a_zone_and_a_format(tmp_path):
    options = {"timezone": "Europe/Berlin", "timestamp_format": "%d/%m/%Y %H:%M"}
    found = events(tmp_path, "u,a,purchase,01/11/2024 13:00\nu,a,purchase,27/10/2024 02:30\n", **options)
    assert found.frame["timestamp"].max() == pd.Timestamp("2024-11-01 12:00")
    assert found.report.counts == {"timestamp in doubt": 1}
    for key, value in {"timezone": "Europe/Berln", "timestamp_format": "%Q"}.items():
        with pytest.raises(ConfigError, match=f"{key} = '{value}': .*expected a"):
            events(tmp_path, "", **{key: value})


@pytest.mark.parametrize(
    "moment", [1_730_462_400, "1730462400", NOON, pd.Timestamp(NOON), np.datetime64("2024-11-01T12"), str(NOON)]
)
def test_a_history_has_times_as_files_have(moment):
    assert as_events([{"item_id": "a", "timestamp": moment}])[0].timestamp == NOON


def test_a_history_has_missing_times_and_refuses_wrong_ones():
    for missing in (None, pd.NaT, pd.NA, float("nan"), "", "N/A"):
        found = as_events([{"item_id": "a", "timestamp": missing}, {"item_id": "a", "value": pd.NA}])
        assert [event.timestamp.year for event in found] == [1970, 1970]
        assert found[1].value is None
    late = datetime.max.replace(tzinfo=ZoneInfo("America/New_York"))
    for wrong in ("31/12/2024", "yesterday", True, [], 1e300, late):
        with pytest.raises(RequestError, match=r"history entry 0: timestamp .* is no moment"):
            as_events([{"item_id": "a", "timestamp": wrong}])
    with pytest.raises(RequestError, match="value 'many' is no number"):
        as_events([{"item_id": "a", "value": "many"}])


@pytest.mark.parametrize(
    ("cells", "values"),
    [
        (["1,200", "3.5", "N/A"], [1200, 3.5, np.nan]),
        (["4,5", "1.200", "-3"], [4.5, 1200, -3]),
        (["1.200,50", "1.200.000"], [1200.5, 1_200_000]),
        (["12.5 cm", "13cm", "4"], [12.5, 13, 4]),
        (["1 200", "1'200.5"], [1200, 1200.5]),
        (["5 kg", "500 g", "x", "1,2,3"], [np.nan] * 4),
    ],
)
def test_numbers_as_people_write_them(cells, values):
    found, bad = numbers(pd.Series(cells))
    np.testing.assert_array_equal(found, values)
    assert (bad == (np.isnan(found) & (np.array(cells) != "N/A"))).all()


def test_a_column_keeps_its_kind_when_most_cells_have_it():
    n = 40
    frame = pd.DataFrame({
        "id": range(n),
        "stars": ["many" if i == 3 else "N/A" if i == 4 else f"{i % 5}.5" for i in range(n)],
        "added": ["soon" if i == 5 else f"2024-11-{i % 28 + 1:02}" for i in range(n)],
        "fits": ["One size" if i % 11 == 0 else str(36 + i % 9) for i in range(n)],
        "code": [f"0{i % 9}" if i % 11 == 0 else str(i % 9) for i in range(n)],
    })  # fmt: skip
    catalog = Catalog.from_frame(frame)
    kinds = {column.name: column.kind for column in catalog.columns}
    assert kinds == {"stars": "number", "added": "date", "fits": "category", "code": "category"}
    assert catalog.report.counts == {"bad stars": 1, "bad added": 1}
    assert [problem.row for problem in catalog.report.problems] == [4, 6]
    assert kind_of(pd.Series([f"{i}" if i % 5 else "word" for i in range(n)])) == "text"


CODES = [1042, 2077, 3196, 4151, 5003, 7718]


@pytest.mark.parametrize(
    ("name", "values", "codes"),
    [
        ("manufacturer", [3, 4, 5], True),
        ("colour_code", [10, 11], True),
        ("department_no", [10.0, 11.0], True),
        ("made by", CODES, True),
        ("weight", CODES, False),
        ("grams", [250, 500, 1000, 1250, 1500, 2000], False),
        ("cents", [1999, 2499, 2999, 4995, 9900], False),
        ("released", [2015, 2016, 2017, 2018, 2019, 2024], False),
        ("is_brand", [0, 1], False),
        ("manufacturer", [0.5, 4], False),
        ("seen by", list(range(1000, 1100)), False),
    ],
)
def test_whole_numbers_that_are_codes_are_categories(name, values, codes):
    assert are_codes(pd.Series(values * 4), name) is codes


def test_the_config_says_what_a_column_is():
    frame = pd.DataFrame({"id": range(12), "manufacturer": CODES * 2, "made by": CODES * 2})
    catalog = Catalog.from_frame(frame)
    assert [(column.kind, column.learn) for column in catalog.columns] == [("category", True)] * 2
    assert catalog.frame["manufacturer"][0] == "1042"
    assert catalog.report.facts["columns of whole numbers taken as codes (manufacturer, made by)"] == 2
    kinds = {"manufacturer": "number", "made by": "text"}
    told = Catalog.from_frame(frame, kinds=kinds)
    assert {column.name: column.kind for column in told.columns} == kinds
    for wrong, message in {
        "maker": "there is no column 'maker'",
        "price": "price is always a number; leave it out there",
    }.items():
        with pytest.raises(ConfigError, match=rf"\[catalog\] kinds: {message}"):
            Catalog.from_frame(frame, kinds={wrong: "category"})
    with pytest.raises(ConfigError, match="kinds"):
        Catalog.from_frame(frame, kinds={"manufacturer": "colour"})


SHOP = pd.DataFrame({
    "sku": ["a", "b", "p", "g"],
    "Type": ["Mug", "Mug", "Postage", "Gift card"],
    "shelf: number": ["5", "6,5", "4,5", "N/A"],
    "since": ["01.11.2024", "31.12.2024", "", ""],
})  # fmt: skip


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ('NOT product_type: ANY("Postage", "Gift card")', ["a", "b"]),
        ('Type = "Mug"', ["a", "b"]),
        ('"shelf: number" > 4.5', ["a", "b"]),
        ('since > "2024-12-01" OR id = "p"', ["b", "p"]),
        ("Type: EXISTS", ["a", "b", "g", "p"]),
    ],
)
def test_where_leaves_rows_out(where, ids):
    catalog = Catalog.from_frame(SHOP, id="sku", product_type="Type", where=where)
    assert catalog.ids == ids
    assert not catalog.report.counts
    assert catalog.excluded == set(SHOP["sku"]) - set(ids)
    left_out = catalog.report.facts.get("rows of products frame left out by [catalog] where", 0)
    assert left_out == len(SHOP) - len(ids)


def test_events_of_products_left_out_are_a_fact_and_not_unknown_products():
    catalog = Catalog.from_frame(SHOP, id="sku", where='Type = "Mug"')
    frame = pd.DataFrame(
        {"user_id": ["u", "u", "test"], "item_id": ["a", "p", "x"], "kind": ["web", "web", "bot"]}
    )
    frame = frame.assign(event_name="purchase", timestamp="2024-11-01")
    found = Interactions.from_frame(frame, catalog, where='kind != "bot"')
    assert found.frame["item_id"].tolist() == ["a"]
    assert not found.report.counts
    assert found.report.facts["events of products left out by [catalog] where"] == 1
    assert found.report.facts["rows of events frame left out by [events] where"] == 1


@pytest.mark.parametrize(
    ("where", "error", "message"),
    [
        ("Type >", ConfigError, r"\[catalog\] where: .*expected a quoted string or a number"),
        ('Typ = "Mug"', DataError, "no column 'Typ' .* did you mean 'Type'?"),
        ('Type = "Lamp"', DataError, "holds for no row of products frame"),
        ("Type: SAME_AS_SEED", ConfigError, "needs a seed item"),
    ],
)
def test_a_wrong_condition_is_refused(where, error, message):
    with pytest.raises(error, match=message):
        Catalog.from_frame(SHOP, id="sku", where=where)


def test_headings_with_colons_and_braces_can_be_named():
    frame = pd.DataFrame({"item:token": ["a"], "price {EUR}": ["5"], "my.name (long)": ["Mug"]})
    assert fields("{item:token}-{price {{EUR}}}") == ["item:token", "price {EUR}"]
    assert fill("{{{item:token}}} {my.name (long)}", frame).tolist() == ["{a} Mug"]
    catalog = Catalog.from_frame(frame, id="item:token", price="price {EUR}", title="{my.name (long)}!")
    assert catalog.frame.loc[0, ["id", "title", "price"]].tolist() == ["a", "Mug!", 5.0]
    assert Catalog.from_frame(frame, id="{item:token}").ids == ["a"]
