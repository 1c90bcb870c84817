"""Turn the markup of exports to plain text: HTML, entities, shortcodes, templates, escapes and odd characters."""

import re
from html import unescape
from html.entities import html5
from unicodedata import is_normalized, normalize

import ftfy
import pandas as pd

from recommender.catalog.values.cells import is_multi, lists, strings

_MAX_ESCAPED = 3  # times that an export escapes the same text: "&amp;amp;amp;"

# Elements within a line; others, and those of other namespaces, separate words.
_INLINE = """
a abbr acronym b bdi bdo big cite code data del dfn em font i ins kbd mark q s samp small span strike strong
sub sup time tt u var wbr
"""
_SEPARATING = """
address applet area article aside audio base blink blockquote body br button canvas caption center col
colgroup datalist dd details dialog dir div dl dt embed fieldset figcaption figure footer form frame frameset
h1 h2 h3 h4 h5 h6 head header hgroup hr html iframe img image input label legend li link main map marquee math
menu meta meter nav nobr noframes noscript object ol optgroup option output p param path picture pre progress
rp rt ruby script search section select slot source style summary svg table tbody td template textarea tfoot
th thead title tr track ul video
"""
# Attributes without a value.
_BOOLEAN = """
allowfullscreen async autoplay border checked compact controls defer disabled hidden ismap itemscope loop
multiple muted noshade nowrap open readonly required reversed selected
"""
_INLINE_ELEMENTS = frozenset(_INLINE.split())
_ELEMENTS = _INLINE_ELEMENTS | frozenset(_SEPARATING.split())
_BOOLEAN_ATTRIBUTES = frozenset(_BOOLEAN.split())
_COMMENT = re.compile(r"<!--.*?(?:-->|$)|<\?.*?\?>|<![A-Za-z\[][^<>\[]*\[?>?|\]\]>", re.DOTALL)
_NOT_SHOWN = re.compile(
    r"<(script|style|svg|iframe|template|object|noscript|head)\b[^<>]*(?<!/)>.*?(?:</\1\s*>|$)",
    re.DOTALL | re.IGNORECASE,
)
_TAG = re.compile(
    r"""<(/?)([A-Za-z][A-Za-z0-9]*(?:[:-][A-Za-z0-9_-]+)?)(?![A-Za-z0-9_])"""
    r"""((?:\s(?:"[^"]*"|'[^']*'|[^"'<>])*)|[^<>]*)>"""
)
_CUT_TAG = re.compile(r"<(?:/?[A-Za-z][A-Za-z0-9]*\s[^<>]*=[^<>]*|/[A-Za-z0-9]*)$")
_ENTITY = re.compile(
    r"&(?:#\d{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});|&(?:nbsp|amp|quot|lt|gt)(?![A-Za-z0-9;=])"
)
_TEMPLATE = re.compile(r"\{\{[^{}]*(?:\{[^{}]*\}[^{}]*)*\}\}\}?|\{%(?:(?!\{%).)*?%\}|<%(?:(?!<%).)*?%>", re.DOTALL)
# [gallery ids="1,2"], [/caption], [vc_row]; "[2 pieces]" and "[new]" are text.
_SHORTCODE = re.compile(
    r"""\[(?P<slash>/?)(?P<name>[a-z][a-z0-9]*(?:[_-][a-z0-9]+)*)(?P<attributes>(?:\s+[\w-]+\s*=\s*"""
    r"""(?:"[^"]*"|'[^']*'|“[^”]*”|”[^”]*”|[^\s\]"']+))*)\s*/?\]"""
)
_PATH = r"(?<!\S)(?:[A-Za-z]:\\|\\\\)\S*"
_ESCAPE = re.compile(rf"{_PATH}|(?:\\r)?\\n|\\r|\\t|\\(?=[\"'])")
_INVISIBLE = re.compile(  # joiners are letters to Persian, Hindi and emoji, but not beside ASCII
    "[\u00ad\u200b\u200e\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff\ufffe\uffff]"
    "|(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])"
)
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_MOJIBAKE = re.compile("[ÂÃâãåæçèéðÐÑ][\x80-\xff\u0152-\u2122]")
_SUSPECT = re.compile(  # any character that the patterns of _MARKUP begin with, which is found much sooner
    "[<&{\\[\\\\\\]ÂÃâãåæçèéðÐÑ\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2069"
    "\ufeff\ufffe\uffff]"
)
_MARKUP = re.compile(
    r"<[A-Za-z/!?%]|&(?:#|[A-Za-z])|\{[{%]|\[/?[a-z]|\\[nrt\"']|\]\]>"
    f"|{_INVISIBLE.pattern}|{_CONTROL.pattern}|{_MOJIBAKE.pattern}"
)


def plain_text(cells: pd.Series) -> pd.Series:
    r"""Return cells, or lists of them, as strings without markup; cells that have none as they are.

    Tags, comments, entities (also if escaped several times), the contents of scripts and styles, shortcodes,
    templates, written escapes such as ``\n``, control characters and invisible ones are taken out; elements that
    are no part of a line separate words. Characters are composed (NFC), and UTF-8 that was read as Windows-1252 is
    repaired where it is certain.

    >>> plain_text(pd.Series(["<p>Warm &amp;amp; l<b>igh</b>t</p><p>5 < 6</p>"]))[0]
    'Warm & light 5 < 6'
    """
    if is_multi(cells):
        clean = [list(filter(None, map(_plain, cell))) for cell in lists(cells)]
        return pd.Series(clean, index=cells.index, dtype=object)
    texts = strings(cells)
    found = {text: _plain(text) for text in texts.unique().tolist() if _has_markup(text)}
    return texts.map(lambda text: found.get(text, text)).astype("str") if found else texts


def _has_markup(text: str) -> bool:
    if _SUSPECT.search(text) and _MARKUP.search(text):
        return True
    return not (text.isascii() or is_normalized("NFC", text))


def _plain(text: str) -> str:
    if not _has_markup(text):
        return text
    clean = _ESCAPE.sub(_unescaped, text) if "\\" in text else text
    for _ in range(_MAX_ESCAPED):
        before = clean
        clean = _without_tags(clean)
        clean = _ENTITY.sub(_character, clean) if "&" in clean else clean
        if clean == before:
            break
    clean = _without_tags(clean)
    clean = _without_shortcodes(_TEMPLATE.sub(" ", clean) if "{" in clean or "<%" in clean else clean)
    if not clean.isascii():
        clean = ftfy.fix_encoding(clean) if _MOJIBAKE.search(clean) else clean
        clean = normalize("NFC", _INVISIBLE.sub("", clean))
    clean = _CONTROL.sub(" ", clean)
    return text if clean == text else " ".join(clean.split())


def _unescaped(match: re.Match[str]) -> str:
    """Return the character of a written escape; a Windows path as it is."""
    found = match[0]
    is_path = not found.startswith("\\") or found.startswith("\\\\")
    return found if is_path else "" if found == "\\" else " "


def _without_tags(text: str) -> str:
    if "<" not in text and "]]>" not in text:
        return text
    text = _NOT_SHOWN.sub(" ", _COMMENT.sub(" ", text))
    return _CUT_TAG.sub("", _TAG.sub(_space, text))


def _space(match: re.Match[str]) -> str:
    """Return what a tag leaves: nothing if it is within a line, itself if it is none, else a space."""
    name, attributes = match[2].lower(), match[3].strip(" /")
    if name not in _ELEMENTS and not (":" in name or "-" in name):
        return match[0]
    if attributes and "=" not in attributes and not _BOOLEAN_ATTRIBUTES.issuperset(attributes.lower().split()):
        return match[0]  # "a<b and c>d"
    return "" if name in _INLINE_ELEMENTS else " "


def _character(match: re.Match[str]) -> str:
    entity = match[0] if match[0].endswith(";") else match[0] + ";"
    return unescape(entity) if entity[1] == "#" or entity[1:] in html5 else match[0]


def _without_shortcodes(text: str) -> str:
    if "[" not in text:
        return text
    closed = frozenset(re.findall(r"\[/([a-z][\w-]*)\]", text))
    return _SHORTCODE.sub(lambda match: " " if _is_shortcode(match, closed) else match[0], text)


def _is_shortcode(match: re.Match[str], closed: frozenset[str]) -> bool:
    """Return whether a word in brackets has attributes, is closed somewhere, or is named as no text is."""
    name = match["name"]
    return bool(match["attributes"]) or name in closed or "_" in name or name == "gallery"
