"""Splits texts of any language into words and tokens: words without case and diacritics, and their parts.

Scripts that put no spaces between words (Chinese, Japanese, Thai, Lao, Khmer, Burmese), and Korean with its
compounds, give pairs of neighbouring characters, as Lucene's CJKStemmer does.
"""

import re
from functools import cache, lru_cache
from itertools import pairwise
from unicodedata import category, normalize

_PLAIN = re.compile(r"[a-z0-9]+")
_ASCII = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_HAN = "\u2e80-\u2fdf\u3005-\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af"
_EAST = _HAN + "\u3041-\u309f\u30a1-\u30ff\u31f0-\u31ff\u1100-\u11ff\uac00-\ud7af"  # kana, Hangul
_SOUTH_EAST = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Burmese, Khmer
_RUNS = re.compile(f"[{_EAST}]+|[{_SOUTH_EAST}]+|[^{_EAST}{_SOUTH_EAST}]+")
_IS_EAST, _IS_SOUTH_EAST = re.compile(f"[{_EAST}]"), re.compile(f"[{_SOUTH_EAST}]")
_IS_HAN = re.compile(f"[{_HAN}]")
_CODE = re.compile(r"(\d+)(\D+)|(\D+)(\d+)")
_SPECIAL = re.compile(r"[0-9-]")
# Diacritics of Latin, Greek and Cyrillic; Hebrew and Arabic vowel points, which most texts leave out; joiners,
# soft hyphens and other characters without a shape.
_IGNORED = re.compile(
    "[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u05c7\u0640\u064b-\u0655\u0670"
    "\u00ad\u061c\u200c-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff]"
)
_SIGNS = re.compile("[™℠®©]")  # NFKC makes letters of the first two
# Letters that have no decomposition; spellings of one Arabic letter; digits of other scripts.
_LETTERS = str.maketrans(
    {"ı": "i", "ø": "o", "đ": "d", "ð": "d", "ł": "l", "ħ": "h", "æ": "ae", "œ": "oe", "þ": "th"}
    | {"ى": "ي", "ی": "ي", "ک": "ك", "ة": "ه"}
    | {chr(zero + i): str(i) for zero in (0x660, 0x6F0, 0x966, 0x9E6, 0xE50, 0xED0, 0x17E0) for i in range(10)}
)


def tokens_of(text: str) -> list[str]:
    """Return the tokens of a text; a text without any, such as an emoji, is one token.

    >>> tokens_of("T-shirt, 100 % wool")
    ['t', 'shirt', 'tshirt', '100', 'wool']
    >>> tokens_of("Café 24V 红色马克杯")
    ['cafe', '24v', '24', 'v', '红', '色', '马', '克', '杯', '红色', '色马', '马克', '克杯']
    """
    if text.isascii() and not _SPECIAL.search(text):  # most English titles
        return _PLAIN.findall(text.lower()) or [text]
    return [token for _, tokens in words_of(text) for token in tokens]


def words_of(text: str) -> list[tuple[str, tuple[str, ...]]]:
    """Return the words of a text, each with its tokens.

    >>> words_of("iPhone-15")
    [('iphone-15', ('iphone', '15', 'iphone15'))]
    """
    folded = fold(text)
    words = (_ASCII if folded.isascii() else _any_word()).findall(folded)
    return [(word, _tokens_of_word(word)) for word in words] or [(text, (text,))]


def fold(text: str) -> str:
    """Return a text without case, diacritics and vowel points, its characters in one form.

    >>> fold("İstanbul ISPARTA ırmak Crème ＦＵＬＬ")
    'istanbul isparta irmak creme full'
    """
    if text.isascii():
        return text.lower()
    letters = normalize("NFD", normalize("NFKC", _SIGNS.sub(" ", text)).casefold())
    return normalize("NFC", _IGNORED.sub("", letters).translate(_LETTERS))


def query_words(text: str) -> list[str]:
    """Return the words of a query: those of a hyphenated word, a code whole, and the pairs of unspaced scripts.

    >>> query_words("T-Shirt 24V, Crème")
    ['t', 'shirt', '24v', 'creme']
    """
    words: list[str] = []
    for word, tokens in words_of(text):
        if "-" in word:
            words += [token for token in tokens if token != word.replace("-", "")]
        else:
            words += [word] if tokens[0] == word else tokens
    return words


@lru_cache(1 << 16)
def _tokens_of_word(word: str) -> tuple[str, ...]:
    parts = word.split("-")
    tokens = [token for part in parts for run in _RUNS.findall(part) for token in _tokens_of_run(run)]
    if len(parts) > 1 and word.isascii():  # T-shirt is also written Tshirt
        tokens.append("".join(parts))
    return tuple(tokens)


def _tokens_of_run(run: str) -> list[str]:
    if _IS_EAST.match(run):
        pairs = [a + b for a, b in pairwise(run)]
        return [character for character in run if _IS_HAN.match(character)] + pairs if pairs else [run]
    if _IS_SOUTH_EAST.match(run):  # a character is a letter with its vowel signs and tone marks
        return [a + b for a, b in pairwise(_characters().findall(run))] or [run]
    code = _CODE.fullmatch(run)  # 24V is also written 24 V
    return [run, *filter(None, code.groups())] if code else [run]


@cache
def _any_word() -> re.Pattern[str]:
    letter = rf"(?:[^\W_]|[{_marks()}])"
    return re.compile(f"{letter}+(?:-{letter}+)*")


@cache
def _characters() -> re.Pattern[str]:
    return re.compile(f"[^{_marks()}][{_marks()}]*|[{_marks()}]+")


@cache
def _marks() -> str:
    """Return the combining marks as ranges of a character class; they are no letters to Python's re."""
    marks = [code for code in range(0x300, 0x1F000) if category(chr(code)).startswith("M")]
    starts = [code for code, before in zip(marks, [0, *marks], strict=False) if code != before + 1]
    ends = [code for code, after in zip(marks, [*marks[1:], 0], strict=False) if code + 1 != after]
    return "".join(f"{chr(start)}-{chr(end)}" for start, end in zip(starts, ends, strict=True))
