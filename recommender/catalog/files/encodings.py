"""Find the encoding of a text file, and read it as UTF-8."""

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import pandas as pd
from charset_normalizer import from_bytes

from recommender.catalog.report import DataReport, Rows

BLOCK = 2**24
REPLACED = "\ufffd"  # stands for bytes that cannot be decoded
# The longest first: UTF-32's begins with UTF-16's.
_MARKS = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
# Encodings from before Unicode of scripts other than Latin, whose words consist of bytes beyond ASCII.
_SCRIPTS = [
    *("cp1251", "cp1253", "cp1255", "cp1256", "koi8_r"),
    *("gb18030", "big5", "cp932", "euc_jp", "cp949"),
]
# Those of Latin script, with the letters that their languages use beyond ASCII; the first where these do not tell
_LATIN = {
    "cp1252": "àâäáãåæçèéêëìíîïñòóôõöøœùúûüÿßÀÂÄÁÃÅÆÇÈÉÊËÌÍÎÏÑÒÓÔÕÖØŒÙÚÛÜ",
    "cp1254": "âçğıîöşüûÂÇĞİÖŞÜ",
    "cp1250": "áäąâăčćçďđéěęëíîłĺľňńóôöőřŕšśşťţúůüűýžźżßÁÄĄÂĂČĆĎĐÉĚĘÍÎŁĽŇŃÓÔÖŐŘŠŚŞŤŢÚŮÜŰÝŽŹŻ",
    "cp1257": "āčēģīķļņšūžąęėįųõäöüÕÄÖÜĀČĒĢĪĶĻŅŠŪŽĄĘĖĮŲ",
}
_TYPOGRAPHY = "–—‘’‚“”„†•…‰‹›€™£§©«»®°·½¼¾²³¿¡´×\xa0"
_LABELS = {"cp932": "Shift JIS", "cp949": "EUC-KR", "gb18030": "GB 18030", "koi8_r": "KOI8-R", "euc_jp": "EUC-JP"}
_SAMPLE = 2**15
_MIXED = "recommender.windows_1252"


def _windows_1252(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeDecodeError)
    return error.object[error.start : error.end].decode("cp1252", "replace"), error.end


codecs.register_error(_MIXED, _windows_1252)


@dataclass(frozen=True)
class Encoding:
    """The encoding of a text file.

    Attributes
    ----------
    codec
        Python's name of it.
    mark
        The number of bytes of the byte order mark.
    errors
        Python's name of what to do about bytes that cannot be decoded.
    remark
        What was guessed, for messages; "" for nothing.
    """

    codec: str = "utf-8"
    mark: int = 0
    errors: str = "strict"
    remark: str = ""

    def report(self, name: str, report: DataReport) -> None:
        """Report what was guessed about a file."""
        if self.remark:
            report.add("encoding", name, [0], [""], lambda i: self.remark, "warning")

    def report_replaced(self, name: str, frame: pd.DataFrame, rows: Rows, report: DataReport) -> None:
        """Report the rows of a file in which bytes could not be decoded."""
        if self.errors != "replace":
            return
        damaged = np.zeros(len(frame), bool)
        for column in frame:
            damaged |= frame[column].astype("str").str.contains(REPLACED, regex=False).to_numpy(bool)
        found = f"has bytes that are no characters; they are read as {REPLACED!r}"
        report.add(
            "unreadable character", name, rows[damaged], [""] * int(damaged.sum()), lambda i: found, "warning"
        )


def encoding_of(file: BinaryIO) -> Encoding:
    """Return the encoding of a file, from its byte order mark or else from all of its bytes.

    Text with a few bytes that are not UTF-8 is damaged UTF-8, text with many of them is mixed with windows-1252,
    and text without any other UTF-8 is in an older encoding, which is guessed from its words.
    """
    file.seek(0)
    head = file.read(2**16)
    mark, codec = next(((len(mark), codec) for mark, codec in _MARKS.items() if head.startswith(mark)), (0, ""))
    codec = codec or _wide(head)
    if codec not in ("", "utf-8"):
        remark = "" if mark else f"has no byte order mark; read as {codec.upper()}"
        return Encoding(codec, mark, "replace", remark)
    if _is_utf8(file):
        return Encoding(mark=mark)
    valid, bad, sample = _census(file)
    if mark or valid >= 20 * bad:
        return Encoding(mark=mark, errors="replace")
    if 2 * valid >= bad:
        remark = f"is UTF-8 with {bad:,} bytes of another encoding; these are read as windows-1252"
        return Encoding(mark=mark, errors=_MIXED, remark=remark)
    codec = _legacy(sample)
    label = _LABELS.get(codec, codec.replace("cp", "windows-"))
    return Encoding(codec, 0, "replace", f"is not UTF-8; read as {label}")


def utf8_blocks(file: BinaryIO, encoding: Encoding) -> Iterator[bytes]:
    """Yield a file as UTF-8, in blocks that end with whole characters, without its byte order mark."""
    file.seek(encoding.mark)
    decoder = codecs.getincrementaldecoder(encoding.codec)(encoding.errors)
    plain = encoding.codec == "utf-8" and encoding.errors == "strict"
    while block := file.read(BLOCK):
        yield block if plain else decoder.decode(block).encode()
    if not plain and (rest := decoder.decode(b"", True)):
        yield rest.encode()


def _wide(head: bytes) -> str:
    """Return UTF-16 in the order in which every other byte is often zero, "" for neither."""
    zero = np.frombuffer(head[: len(head) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    high, low = zero.mean(axis=0) if len(zero) else (0.0, 0.0)
    if max(high, low) < 0.1 or min(high, low) > 0.1 * max(high, low):
        return ""
    return "utf-16-be" if high > low else "utf-16-le"


def _is_utf8(file: BinaryIO) -> bool:
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for block in iter(lambda: file.read(BLOCK), b""):
            if decoder.getstate()[0] or not block.isascii():
                decoder.decode(block)
        decoder.decode(b"", True)
    except UnicodeDecodeError:
        return False
    return True


def _census(file: BinaryIO) -> tuple[int, int, bytes]:
    """Return how many characters beyond ASCII are UTF-8, how many bytes are not, and lines that have such."""
    file.seek(0)
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    valid = bad = 0
    sample = b""
    for block in iter(lambda: file.read(BLOCK), b""):
        text = decoder.decode(block)
        replaced = max(text.count(REPLACED) - block.count(REPLACED.encode()), 0)
        bad += replaced
        valid += len(text) - len(text.encode("ascii", "ignore")) - replaced
        lines = re.finditer(rb"[^\r\n]*[\x80-\xff][^\r\n]*", block)
        while replaced and len(sample) < _SAMPLE and (line := next(lines, None)):
            sample += line[0] + b"\n"
    return valid, bad + len(decoder.decode(b"", True)), sample


def _legacy(sample: bytes) -> str:
    """Guess an encoding from before Unicode; windows-1252 where nothing says otherwise."""
    beyond = re.findall(rb"[\x80-\xff]+", sample)
    if len(beyond) * 2 > sum(map(len, beyond)):  # accented letters stand alone between letters of ASCII
        return max(_LATIN, key=lambda codec: _share_of_letters(sample, codec))
    best = from_bytes(sample, cp_isolation=_SCRIPTS).best()
    if best is not None and best.encoding == "cp1251" and not re.search(rb"[\xc0-\xdf\xfb-\xff]", sample):
        return "cp1255"  # Hebrew has fewer letters than Cyrillic, and no capitals
    return "cp1251" if best is None else best.encoding


def _share_of_letters(sample: bytes, codec: str) -> float:
    """Return the share of the characters beyond ASCII that languages of an encoding use."""
    text = sample.decode(codec, "replace")
    beyond = re.findall(r"[^\x00-\x7f]", text)
    within_words = re.findall(rf"(?<=[a-z])[{_TYPOGRAPHY}](?=[a-z])", text)
    letters = sum(character in _LATIN[codec] + _TYPOGRAPHY for character in beyond)
    return (letters - len(within_words)) / len(beyond)
