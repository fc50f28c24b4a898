"""Zip archives and Office files that mean harm, built anew in each run."""

import io
import random
import struct
import zipfile
import zlib

MIB = 1024 * 1024
DECLARATION = '<?xml version="1.0" encoding="UTF-8" standalone="yes"?>'
OFFICE = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
PACKAGE = "http://schemas.openxmlformats.org/package/2006"
WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"


def zipped(members: dict[str, bytes | str], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive with these members."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def related(part: str, kind: str) -> str:
    """The relationships file of a package whose main part is `part`."""
    return (
        f'{DECLARATION}<Relationships xmlns="{PACKAGE}/relationships">'
        f'<Relationship Id="r1" Type="{OFFICE}/{kind}" Target="{part}"/></Relationships>'
    )


def typed(overrides: dict[str, str]) -> str:
    """The content types file of a package; the types below Office's own prefix."""
    rows = "".join(
        f'<Override PartName="/{part}" ContentType="application/vnd.openxmlformats-officedocument.{kind}+xml"/>'
        for part, kind in overrides.items()
    )
    rels = '<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>'
    return f'{DECLARATION}<Types xmlns="{PACKAGE}/content-types">{rels}{rows}</Types>'


def docx(body: str, *, doctype: str = "", more: dict[str, bytes | str] | None = None) -> bytes:
    """A Word document with this XML in its body."""
    document = f'{DECLARATION}{doctype}<w:document xmlns:w="{WORD}"><w:body>{body}</w:body></w:document>'
    return zipped(
        {
            "[Content_Types].xml": typed({"word/document.xml": "wordprocessingml.document.main"}),
            "_rels/.rels": related("word/document.xml", "officeDocument"),
            "word/document.xml": document,
            **(more or {}),
        }
    )


def paragraph(text: str) -> str:
    return f"<w:p><w:r><w:t>{text}</w:t></w:r></w:p>"


def xlsx(rows: str, *, doctype: str = "", before: str = "", after: str = "") -> bytes:
    """A workbook of one sheet with this XML as its rows."""
    book = (
        f'{DECLARATION}<workbook xmlns="{SHEET}" xmlns:r="{OFFICE}"><sheets>'
        '<sheet name="One" sheetId="1" r:id="r1"/></sheets></workbook>'
    )
    sheet = f'{DECLARATION}{doctype}<worksheet xmlns="{SHEET}">{before}<sheetData>{rows}</sheetData>{after}</worksheet>'
    types = {"xl/workbook.xml": "spreadsheetml.sheet.main", "xl/worksheets/sheet1.xml": "spreadsheetml.worksheet"}
    return zipped(
        {
            "[Content_Types].xml": typed(types),
            "_rels/.rels": related("xl/workbook.xml", "officeDocument"),
            "xl/workbook.xml": book,
            "xl/_rels/workbook.xml.rels": related("worksheets/sheet1.xml", "worksheet"),
            "xl/worksheets/sheet1.xml": sheet,
        }
    )


def cell(reference: str, text: str) -> str:
    return f'<c r="{reference}" t="inlineStr"><is><t>{text}</t></is></c>'


def pptx(text: str, *, doctype: str = "") -> bytes:
    """A presentation of one slide whose XML begins with `doctype` and holds `text`."""
    import pptx as library

    deck = library.Presentation()
    deck.slides.add_slide(deck.slide_layouts[0]).shapes.title.text = "TEXT"
    saved = io.BytesIO()
    deck.save(saved)
    with zipfile.ZipFile(saved) as archive:
        members: dict[str, bytes | str] = {name: archive.read(name) for name in archive.namelist()}
    slide = bytes(members["ppt/slides/slide1.xml"]).decode()  # type: ignore[arg-type]
    head, separator, rest = slide.partition("?>")
    members["ppt/slides/slide1.xml"] = f"{head}{separator}{doctype}{rest}".replace("TEXT", text)
    return zipped(members)


def ratio_bomb() -> bytes:
    """30 MiB of zeros in 30 KB."""
    return zipped({"word/document.xml": bytes(30 * MIB)})


def many_members() -> bytes:
    return zipped({"word/document.xml": "<x/>", **{f"word/{number}.xml": "" for number in range(25_000)}})


def swollen(claimed: int) -> bytes:
    """2 MiB of noise of which the directory claims `claimed` bytes."""
    return _forged(random.Random(1).randbytes(2 * MIB), sizes=[claimed])


def lying_small() -> bytes:
    """A part of 100 MiB of which the directory says 900 bytes."""
    return _forged(deflated(b" ", 100), sizes=[900], method=zipfile.ZIP_DEFLATED)


def overlapping() -> bytes:
    """Forty parts that are the same bytes of the file."""
    return _forged(deflated(b"a", 1), sizes=[MIB // 4] * 40, method=zipfile.ZIP_DEFLATED)


def deflated(byte: bytes, mebibytes: int) -> bytes:
    packer = zlib.compressobj(1, wbits=-15)
    return b"".join(packer.compress(byte * MIB) for _ in range(mebibytes)) + packer.flush()


def _forged(body: bytes, *, sizes: list[int], method: int = zipfile.ZIP_STORED) -> bytes:
    """One body behind one local header, and a zip64 entry of the directory for each of `sizes`."""
    names = [f"word/document{number or ''}.xml".encode() for number in range(len(sizes))]
    common = (45, 0, method, 0, 0x21, 0)
    local = struct.pack("<4s5HL2L2H", b"PK\3\4", *common, len(body), sizes[0] % 2**32, len(names[0]), 0)
    start = local + names[0] + body
    directory = b""
    for name, size in zip(names, sizes, strict=True):
        lengths = (2**32 - 1, 2**32 - 1, len(name), 20, 0, 0, 0, 0, 0)
        directory += struct.pack("<4s6HL2L5H2L", b"PK\1\2", 45, *common, *lengths) + name
        directory += struct.pack("<2H2Q", 1, 16, size, len(body))
    end = struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, len(sizes), len(sizes), len(directory), len(start), 0)
    return start + directory + end


def locked(data: bytes) -> bytes:
    """The archive with the flag of a password on each of its parts."""
    flagged = bytearray(data)
    for signature, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        found = flagged.find(signature)
        while found >= 0:
            flagged[found + offset] |= 1
            found = flagged.find(signature, found + 4)
    return bytes(flagged)
