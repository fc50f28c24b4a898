"""Bytes to text, or a clear refusal; never silently the wrong letters."""

import codecs
import re

from processors.errors import Poison

BOMS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
CONTROLS = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f\ufffe\uffff\ud800-\udfff]")
MAX_CONTROL_SHARE = 0.02
"""Text has none; a few slip in through terminals and old word processors; binary data has about 10 %."""
SAMPLE_BYTES = 64 * 1024
"""Enough for the guess; it takes about 0.1 s on this much."""
DECLARED = re.compile(rb"""(?:charset|encoding)\s*=\s*["']?\s*([A-Za-z0-9._:-]{2,40})""")


def decode(data: bytes, *, charset: str, filename: str) -> str:
    """The text in `data`, newlines as `\\n`, control characters gone. Poison `unreadable` where it is not text."""
    text = _text(data, charset, filename)
    controls = sum(1 for _ in CONTROLS.finditer(text[: SAMPLE_BYTES * 4]))
    if controls > 8 and controls > MAX_CONTROL_SHARE * min(len(text), SAMPLE_BYTES * 4):
        raise _unreadable(filename)
    return clean(text)


def clean(text: str) -> str:
    """`text` with newlines as `\\n` and without control characters and lone surrogates."""
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n")
    return CONTROLS.sub("", text)


def declared_charset(declaration: bytes) -> str:
    """The encoding that a media type, or the first kilobytes of an HTML file, name; else nothing."""
    found = DECLARED.search(declaration[:4096])
    return found[1].decode("ascii") if found else ""


def _text(data: bytes, charset: str, filename: str) -> str:
    for bom, encoding in BOMS:
        if data.startswith(bom):
            return _strict(data, encoding, filename)
    try:
        return data.decode()
    except UnicodeDecodeError:
        pass
    if charset and charset.lower().replace("_", "-") not in ("utf-8", "utf8"):
        return _strict(data, charset, filename)
    return _strict(data, _guess(data, filename), filename)


def _strict(data: bytes, encoding: str, filename: str) -> str:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError) as error:
        raise Poison("unreadable", f"{filename!r} is not valid {encoding!r} text ({error}): save it as UTF-8") from None


def _guess(data: bytes, filename: str) -> str:
    from charset_normalizer import from_bytes

    best = from_bytes(data[:SAMPLE_BYTES]).best()
    # Without a language in which it makes sense, a guess is as good as mojibake.
    if best is None or best.percent_coherence <= 0:
        raise _unreadable(filename)
    return best.encoding


def _unreadable(filename: str) -> Poison:
    return Poison(
        "unreadable",
        f"{filename!r} is binary, or text whose encoding cannot be told: save it as UTF-8, "
        "or name the encoding in its media type (`headwater ingest --media-type 'text/plain; charset=latin-1'`)",
    )
