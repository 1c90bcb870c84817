"""Prices as shops write them: an amount in any country's form, with its currency, of a range or per unit."""

import re
import unicodedata
from dataclasses import dataclass
from functools import lru_cache
from html import unescape

_CODES = """
    AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD
    CDF CHF CLP CNY COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ
    GYD HKD HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP
    LKR LRD LSL LYD MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB
    PEN PGK PHP PKR PLN PYG QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL
    THB TJS TMT TND TOP TRY TTD TWD TZS UAH UGX USD UYU UZS VES VND VUV WST XAF XCD XOF XPF YER ZAR ZMW
"""
CURRENCIES = frozenset(_CODES.split())
# Names and symbols in lower case, without points.
_NAMES = {
    "AED": "دإ درهم dhs dh",
    "AUD": "a$",
    "BGN": "лв лева",
    "BRL": "r$ reais",
    "CAD": "c$ can$",
    "CHF": "fr sfr franken",
    "CNY": "元 人民币 rmb cn¥",
    "CRC": "₡",
    "CZK": "kč kc korun",
    "EGP": "e£ جم",
    "EUR": "€ euro euros",
    "GBP": "£ uk£ pounds pound",
    "GEL": "₾",
    "GHS": "₵ gh₵",
    "HRK": "kn",
    "HUF": "ft forint",
    "IDR": "rp",
    "ILS": "₪ nis שח",
    "INR": "₹ rs rupees re",
    "JPY": "¥ 円 yen jp¥",
    "KES": "ksh kshs",
    "KRW": "₩ 원",
    "KZT": "₸ тг",
    "MAD": "دم",
    "MXN": "mex$",
    "MYR": "rm",
    "NGN": "₦",
    "PEN": "s/",
    "PHP": "₱",
    "PLN": "zł zl zlotych",
    "PYG": "₲",
    "RON": "lei leu",
    "RSD": "din дин рсд",
    "RUB": "₽ руб р рублей рубль",
    "SAR": "رس sr ریال ريال",
    "SGD": "s$",
    "THB": "฿ บาท baht",
    "TRY": "₺ tl",
    "TWD": "nt$",
    "UAH": "₴ грн",
    "USD": "$ u$s dollars dollar щд",
    "VND": "₫ đ vnđ",
    "XOF": "fcfa cfa",
    "ZAR": "r",
    "": "kr krona kroner kronor",
}
_CODE_OF = {name: code for code, names in _NAMES.items() for name in names.split()}
# Symbols of several currencies: which of them is meant, the catalogue's own currency decides.
_SHARED = {
    "$": "ARS AUD BBD BMD BRL BSD BZD CAD CLP COP CUP DOP FJD HKD JMD LRD MXN NAD NZD SGD TTD TWD USD UYU XCD",
    "¥": "JPY CNY",
    "£": "GBP EGP FKP GIP LBP SHP SYP",
    "rs": "INR PKR LKR NPR MUR SCR",
    "lei": "RON MDL",
    "kr": "SEK NOK DKK ISK",
    "cfa": "XOF XAF",
    "fcfa": "XOF XAF",
}
_SHARED_BY = {symbol: frozenset(codes.split()) for symbol, codes in _SHARED.items()}
_QUALIFIED = re.compile(r"([a-z]{1,2})([$£]|kr)|([$£])([a-z]{1,2})")
_THREE_DECIMALS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})
_RANGE = frozenset({"to", "bis", "~", "a", "à", "al", "do", "до", "til", "till", "tot", "and"})
# Words that say nothing about the amount, such as those of taxes, and "from", which is reported.
_FROM = frozenset({"from", "ab", "von", "desde", "da", "od", "от", "de", "dès", "vanaf", "fra", "från", "już"})
_NEUTRAL = """
    price preis prix precio prezzo preço prijs cena цена now only nur sale rrp uvp msrp ca starting at as low
    ttc ht incl inkl including excl exkl inc ex vat tax taxes mwst ust tva iva btw moms dph kdv gst net netto
    brutto gross
"""
_IGNORED = _FROM | frozenset(_NEUTRAL.split())
_PIECES = "each ea piece pc pcs unit item st stk stück unité pièce pezzo szt шт ks db adet"
_PIECE = frozenset(_PIECES.split())
_UNIT = re.compile(
    r"\s*(?:/\s*(?=\d*\s*[^\W\d])|\b(?:per|pro|je|par|por|za|за|al|each|ea)\b(?!\s*-?\d+[.,]))\s*(.*)$"
)
_NUMBER = re.compile(r"\d{1,3}(?:[ ']\d{3})+(?:[.,]\d+)?(?!\d)|\d+(?:[.,']\d+)*|(?<!\w)[.,]\d+")
_SAME = str.maketrans("٫٬−–—’‘´`′", ".,---" + 5 * "'")
_TAG = re.compile(r"<[^>]*>")
_WORD = re.compile(r"[^\s\d.,;:()\[\]'\"*+|=!-]+")
_SIMPLE = re.compile(r"(?:([A-Za-z]{3}|[€$£]) ?)?(\d+(?:[.,]\d+)*)(?: ?([A-Za-z]{3}|[€$£]))?", re.ASCII)
_MINUS = re.compile(r"-|^\($")
_PLAIN = re.compile(r"\d+(?:\.\d+)?(?:e[-+]?\d{1,2})?")
_GROUPED = re.compile(r"\d{1,3}(?:([.,' ])\d{2,3}(?:\1\d{2,3})*)?(?<=\d{3})|\d{1,2}")


@dataclass(frozen=True, slots=True)
class WrittenPrice:
    """A price as it is written.

    Attributes
    ----------
    numbers
        Its digits and separators, such as "1.299,00"; two of a range.
    currency
        ISO 4217 code, "" unknown.
    currencies
        Codes that its symbol may mean, where there are several.
    starts_at
        Whether it is the lowest price of several.
    per_unit
        Whether it is that of an amount, such as a kilogram.
    """

    numbers: tuple[str, ...]
    currency: str = ""
    currencies: frozenset[str] = frozenset()
    starts_at: bool = False
    per_unit: bool = False

    def amount(self, decimal: str = "") -> float:
        """Return the amount, the lowest of a range; `decimal` is the decimal mark of an ambiguous number."""
        return min(_amount(number, decimal) for number in self.numbers)

    @property
    def is_ambiguous(self) -> bool:
        """Whether a separator may be of decimals or of thousands, as in "1.299"."""
        return any(decimal_mark(number) is None for number in self.numbers)


@lru_cache(1 << 16)
def read_price(text: str) -> WrittenPrice | None:
    """Return the parts of a price; None if the text is no price or a negative one.

    >>> read_price("1.299,00 EUR")
    WrittenPrice(numbers=('1.299,00',), currency='EUR', currencies=frozenset(), starts_at=False, per_unit=False)
    """
    if match := _SIMPLE.fullmatch(text):  # most prices: five times as fast
        symbols = [symbol.lower() for symbol in match.group(1, 3) if symbol]
        if all(_code_of(symbol) is not None for symbol in symbols):
            return _written((match[2],), symbols)
    text = _plain(text)
    if _PLAIN.fullmatch(text):
        return WrittenPrice((text,))
    found = list(_NUMBER.finditer(text))
    if not found:
        return None
    unit = _UNIT.search(text, found[0].end())
    if unit is not None:
        text = text[: unit.start()]
        found = [number for number in found if number.end() <= unit.start()]
    words = _WORD.findall(_NUMBER.sub(" ", text).replace(".", ""))
    between = text[found[0].end() : found[-1].start()]
    if len(found) > 2 or (len(found) == 2 and not _is_range(between)) or _MINUS.search(text[: found[0].start()]):
        return None
    symbols = [word for word in words if _code_of(word) is not None]
    if set(words) - {*symbols} - _IGNORED - (_RANGE if len(found) == 2 else frozenset()):
        return None
    starts_at = len(found) == 2 or not _FROM.isdisjoint(words)
    per_unit = unit is not None and bool(unit[1]) and unit[1].strip(" .") not in _PIECE
    return _written(tuple(number[0] for number in found), symbols, starts_at, per_unit)


def _written(
    numbers: tuple[str, ...], symbols: list[str], starts_at: bool = False, per_unit: bool = False
) -> WrittenPrice | None:
    currency, currencies = _currency(tuple(symbols))
    if currency is None or not all(map(_is_number, numbers)):
        return None
    return WrittenPrice(numbers, currency, currencies, starts_at, per_unit)


def price_amount(text: str) -> float | None:
    """Return the amount of a price by itself; None if it cannot be read, or may be read in two ways."""
    price = read_price(text)
    return None if price is None or price.is_ambiguous else price.amount()


def currency_code(text: str) -> str | None:
    """Return the ISO 4217 code of a code, symbol or name; "" for a name of several, None for an unknown one.

    >>> currency_code("eur"), currency_code("€"), currency_code("CA$")
    ('EUR', 'EUR', 'CAD')
    """
    return _code_of(_plain(text).replace(".", ""))


def decimal_mark(number: str) -> str | None:
    """Return what separates the decimals of a number, "" for none; None where it may be either, as in "1.299".

    >>> decimal_mark("1.299,00"), decimal_mark("1,299,000"), decimal_mark("12.5"), decimal_mark("1,299")
    (',', '', '.', None)
    """
    marks = [mark for mark in number if mark in ".,"]
    if not marks or "e" in number:
        return "." if marks else ""
    if marks[0] != marks[-1] or " " in number or "'" in number:
        return marks[-1]
    if len(marks) > 1:
        return ""
    whole, _, decimals = number.partition(marks[0])
    return marks[0] if len(decimals) != 3 or len(whole) > 3 or whole[:1] in ("", "0") else None


def needs_three_decimals(currency: str) -> bool:
    """Return whether amounts of a currency have three decimals."""
    return currency in _THREE_DECIMALS


def _plain(text: str) -> str:
    """Return a text in lower case with ASCII digits, points, commas, blanks, hyphens and apostrophes."""
    text = unicodedata.normalize("NFKC", unescape(text)).casefold().translate(_SAME)
    if not text.isascii():
        visible = (character for character in text if unicodedata.category(character) != "Cf")
        text = "".join(str(unicodedata.decimal(character, character)) for character in visible)
    text = _TAG.sub(" ", text)
    text = re.sub(r"(?<=\d)([.,])-+(?!\d)", r"\g<1>00", " ".join(text.split()))  # "5,-"
    text = re.sub(r"(?<=\d)[:/]-+(?!\d)", "", text)  # "1299:-"
    return re.sub(r"^(\d+) ?([€$£]) ?(\d\d)$", r"\1.\3 \2", text)  # "12€50"


def _is_range(between: str) -> bool:
    """Return whether a hyphen or a word such as "to" stands between two numbers, beside currencies."""
    words = [word for word in _WORD.findall(between.replace(".", "")) if _code_of(word) is None]
    return words[0] in _RANGE and len(words) == 1 if words else "-" in between or ".." in between


@lru_cache(4096)
def _code_of(word: str) -> str | None:
    if word.upper() in CURRENCIES:
        return word.upper()
    if word in _CODE_OF:
        return _CODE_OF[word]
    if match := _QUALIFIED.fullmatch(word):  # a country beside a symbol, such as US$, £GB and Nkr
        before, symbol_after, symbol_before, after = match.groups("")
        country = (before or after).upper()
        codes = [code for code in _SHARED_BY[symbol_after or symbol_before] if code.startswith(country)]
        return codes[0] if len(codes) == 1 else None
    return None


@lru_cache(4096)
def _currency(symbols: tuple[str, ...]) -> tuple[str | None, frozenset[str]]:
    """Return the currency, and those that its symbol may mean; None if there are two."""
    codes = {symbol.upper() for symbol in symbols if symbol.upper() in CURRENCIES}
    names = {symbol for symbol in symbols if symbol.upper() not in CURRENCIES}
    for name in names:
        code = _code_of(name) or ""
        if not codes & _SHARED_BY.get(name, frozenset({code})):
            codes.add(code)
    if len(codes) > 1:
        return None, frozenset()
    shared = _SHARED_BY.get(symbols[0], frozenset()) if len(set(symbols)) == 1 else frozenset()
    return next(iter(codes), ""), shared


def _is_number(number: str) -> bool:
    """Return whether groups of thousands, if there are any, are whole, and none is among the decimals."""
    mark = decimal_mark(number)
    if mark is None:
        return True
    whole, _, decimals = number.rpartition(mark) if mark else (number, "", "0")
    return decimals.isdecimal() and (whole.isdecimal() or not whole or bool(_GROUPED.fullmatch(whole)))


def _amount(number: str, decimal: str) -> float:
    if "e" in number:
        return float(number)
    mark = decimal_mark(number)
    if mark is None:
        mark = decimal if decimal in number else ""
    whole, _, decimals = number.rpartition(mark) if mark else (number, "", "")
    return float(f"{re.sub(r'[^0-9]', '', whole)}.{decimals}")
