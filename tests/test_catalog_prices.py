"""Prices and availability as shops write them, read back."""

import numpy as np
import pandas as pd
import pytest
from babel.numbers import format_currency, format_decimal
from hypothesis import example, given
from hypothesis import strategies as st

from recommender.catalog.values.prices import prices
from recommender.items.availability import AVAILABILITIES, canonical_availability
from recommender.items.prices import CURRENCIES, price_amount, read_price

_LOCALES = """
    en_US en_GB en_IN en_ZA de_DE de_CH de_AT fr_FR fr_CH es_ES es_MX it_IT pt_BR pt_PT nl_NL pl_PL ru_RU uk_UA
    sv_SE nb_NO da_DK fi_FI cs_CZ sk_SK hu_HU ro_RO bg_BG el_GR tr_TR ja_JP ko_KR zh_CN zh_TW th_TH vi_VN id_ID
    he_IL ar_EG
"""
LOCALES = _LOCALES.split()
TWO_DECIMALS = ["EUR", "USD", "GBP", "CHF", "PLN", "CZK", "SEK", "TRY", "BRL", "INR", "UAH", "RUB", "THB", "ILS"]
AMOUNTS = st.integers(0, 10**9).map(lambda cents: cents / 100)


@given(st.lists(AMOUNTS, min_size=1, max_size=8), st.sampled_from(LOCALES), st.sampled_from(TWO_DECIMALS))
def test_prices_of_the_world_are_read_back(amounts: list[float], locale: str, currency: str) -> None:
    cells = pd.Series([format_currency(amount, currency, locale=locale) for amount in amounts])
    read = prices(cells)
    assert read.amounts.tolist() == pytest.approx(amounts), cells.tolist()
    assert set(read.currencies) <= {currency, ""}, cells.tolist()
    assert not read.bad.any()
    assert not read.guessed.any()


@given(st.lists(AMOUNTS, min_size=1, max_size=8), st.sampled_from(LOCALES))
def test_numbers_with_two_decimals_are_read_in_any_locale(amounts: list[float], locale: str) -> None:
    cells = pd.Series([format_decimal(amount, "#,##0.00", locale=locale) for amount in amounts])
    assert prices(cells).amounts.tolist() == pytest.approx(amounts), cells.tolist()


@given(st.lists(st.integers(0, 10**7), min_size=1, max_size=6), st.sampled_from(LOCALES), AMOUNTS)
def test_the_whole_column_decides_about_thousands(wholes: list[int], locale: str, other: float) -> None:
    cells = [format_decimal(whole, "#,##0", locale=locale) for whole in wholes]
    cells.append(format_decimal(other, "#,##0.00", locale=locale))
    read = prices(pd.Series(cells))
    assert read.amounts.tolist() == pytest.approx([*wholes, other]), cells
    assert not read.guessed.any()


@given(st.lists(st.floats(0, 1e9), max_size=20))
def test_plain_numbers_are_read_as_they_are(amounts: list[float]) -> None:
    assert prices(pd.Series(amounts, dtype=float)).amounts.tolist() == amounts
    cells = pd.Series([f"{amount:.2f}" for amount in amounts], dtype="str")
    assert prices(cells).amounts.tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize(
    ("text", "amount", "currency"),
    [
        ("1,299.00 USD", 1299.0, "USD"),
        ("1.299,00 EUR", 1299.0, "EUR"),
        ("15.00 usd", 15.0, "USD"),
        ("USD 5", 5.0, "USD"),
        ("$1 299.00", 1299.0, "USD"),
        ("₹1,29,900", 129900.0, "INR"),
        ("Rs. 1,29,900/-", 129900.0, "INR"),
        ("1'299.00 CHF", 1299.0, "CHF"),
        ("CHF 1’299.–", 1299.0, "CHF"),
        ("¥5000", 5000.0, "JPY"),
        ("５００円", 500.0, "JPY"),
        ("12,50", 12.5, ""),
        ("12€50", 12.5, "EUR"),
        ("5,-", 5.0, ""),
        ("1.299,-", 1299.0, ""),
        ("1299:-", 1299.0, ""),
        ("kr.5", 5.0, ""),
        ("$5 AUD", 5.0, "AUD"),
        ("&euro; 5.00", 5.0, "EUR"),
        ("15,00\xa0€ inkl. MwSt.", 15.0, "EUR"),
        ("0", 0.0, ""),
        ("1e3", 1000.0, ""),
    ],
)
def test_a_price_by_itself(text: str, amount: float, currency: str) -> None:
    price = read_price(text)
    assert price is not None
    assert (price.amount(), price.currency) == (amount, currency)
    assert price_amount(text) == amount


@pytest.mark.parametrize(
    "text",
    [
        "free",
        "N/A",
        "POA",
        "auf Anfrage",
        "-5",
        "$-5",
        "(5.00)",
        "1.2.3",
        "12%",
        "2 x 5.00",
        "5 EUR 5 USD",
        "$",
        "1/2",
    ],
)
def test_what_is_no_price_is_bad(text: str) -> None:
    read = prices(pd.Series(["5.00", text, ""]))
    assert read.bad.tolist() == [False, True, False]
    np.testing.assert_array_equal(read.amounts, [5.0, np.nan, np.nan])


@pytest.mark.parametrize("text", ["10.00 - 20.00", "$10–$20", "10 bis 20 EUR", "ab 10,00 €", "20.00 - 10.00"])
def test_a_range_is_its_lowest_price(text: str) -> None:
    read = prices(pd.Series([text]))
    assert (read.amounts.tolist(), read.starts_at.tolist()) == ([10.0], [True])


@pytest.mark.parametrize(
    ("text", "amount", "per_unit"),
    [
        ("3.99/kg", 3.99, True),
        ("5 EUR per 100 g", 5.0, True),
        ("5,99 € / Stück", 5.99, False),
        ("$5 each", 5.0, False),
    ],
)
def test_prices_per_unit_are_found(text: str, amount: float, per_unit: bool) -> None:
    read = prices(pd.Series([text]))
    assert (read.amounts.tolist(), read.per_unit.tolist()) == ([amount], [per_unit])


def test_what_nothing_decides_is_a_guess() -> None:
    assert prices(pd.Series(["1.299", "999"])).guessed.tolist() == [True, False]
    assert prices(pd.Series(["1.299", "999"])).amounts.tolist() == [1299.0, 999.0]
    assert prices(pd.Series(["1.299", "0.508"])).amounts.tolist() == [1.299, 0.508]
    assert prices(pd.Series(["1.299 KWD"])).amounts.tolist() == [1.299]
    assert price_amount("1.299") is None


@example("0.0'0")
@given(st.text(max_size=20) | st.from_regex(r"[-$€£ ]{0,2}[0-9.,' ]{0,8}[ a-zA-Z/€-]{0,6}", fullmatch=True))
def test_any_text_is_a_price_or_bad(text: str) -> None:
    read = prices(pd.Series([text, "9.50"]))
    known = not np.isnan(read.amounts[0])
    assert known + read.bad[0] + (text.strip() == "") == 1
    assert not known or (read.amounts[0] >= 0 and read.currencies[0] in CURRENCIES | {""})


WORDS = {
    "in_stock": "In Stock|in_stock|INSTOCK|in-stock|https://schema.org/InStock|"
    "http://schema.org/LimitedAvailability|OnlineOnly|MadeToOrder|true|yes|1|12|7.0|active|"
    "publish|Auf Lager|En stock|Disponible|Disponibile|Em estoque|Op voorraad|w magazynie|"
    "В наличии|I lager|Skladem|Stokta|5 in stock|Only 3 left|10+|In stock (4)|在庫あり|有货",
    "out_of_stock": "out of stock|Out_Of_Stock|OUT-OF-STOCK|outofstock|https://schema.org/OutOfStock|"
    "schema.org/SoldOut|http://schema.org/Discontinued|InStoreOnly|Reserved|"
    "StockStatus.OUT_OF_STOCK|Sold out!|discontinued|draft|private|pending|unpublished|archived|"
    "hidden|trash|disabled|false|no|0|-3|0.0|0 in stock|Out of stock (5)|Ausverkauft|"
    "Nicht vorrätig|Rupture de stock|Épuisé|EPUISE|Agotado|Esaurito|Esgotado|Uitverkocht|"
    "Brak w magazynie|Нет в наличии|Slut i lager|Vyprodáno|Stokta yok|TÜKENDİ|品切れ|缺货|"
    "Not visible individually|No longer available",
    "preorder": "preorder|Pre-Order|pre_order|https://schema.org/PreOrder|PreSale|Vorbestellbar|Précommande",
    "backorder": "backorder|Back Order|onbackorder|https://schema.org/BackOrder|Available on backorder",
    "": "| |null",
}


@pytest.mark.parametrize(("word", "value"), [(word, value) for value in WORDS for word in WORDS[value].split("|")])
def test_words_of_availability(word: str, value: str) -> None:
    assert canonical_availability(word) == value


@pytest.mark.parametrize("word", ["maybe", "2 weeks", "blue", "x", "-", "2024-01-01", "in"])
def test_unknown_words_of_availability(word: str) -> None:
    assert canonical_availability(word) is None


@given(
    st.sampled_from(AVAILABILITIES), st.sampled_from(["_", " ", "-", ""]), st.sampled_from([str.upper, str.title])
)
def test_the_spelling_of_availability_does_not_count(value: str, gap: str, case: type[str.upper]) -> None:
    assert canonical_availability(f" {case(value.replace('_', gap))} ") == value
