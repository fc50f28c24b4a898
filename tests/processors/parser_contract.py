"""What every parser must do with good documents and bad ones."""

import asyncio
import io
import json
import random
import zipfile
from pathlib import Path

import pytest

from processors.errors import Poison
from processors.ports import Element, Parser

EXAMPLES = Path(__file__).parents[2] / "examples"
DOCUMENTS = {path.name: path.read_bytes() for path in sorted((EXAMPLES / "documents").iterdir())}
BROKEN = {
    "empty.txt": "empty-document",
    "encrypted.pdf": "encrypted",
    "not-a-document.docx": "unreadable",
    "sensor-dump.xyz": "unsupported-media-type",
    "truncated.pdf": "unreadable",
}
NOISE = random.Random(7).randbytes(5_000)


def archive(**members: bytes) -> bytes:
    """A zip archive; dunders in the names are slashes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members.items():
            packed.writestr(name.replace("__", "/"), data)
    return buffer.getvalue()


HOSTILE = {
    "blank": (b" \n\t ", "text/plain", "blank.txt", "empty-document"),
    "only NUL": (bytes(100), "text/plain", "nul.txt", "empty-document"),
    "noise as text": (NOISE, "text/plain", "noise.txt", "unreadable"),
    "noise without a name": (NOISE, "application/octet-stream", "noise", "unsupported-media-type"),
    "noise as a PDF": (NOISE, "application/pdf", "noise.pdf", "unreadable"),
    "an image as text": (b"\x89PNG\r\n\x1a\n" + NOISE, "text/plain", "x.txt", "unsupported-media-type"),
    "a cut docx": (DOCUMENTS["mirror-care.docx"][:9_000], "", "cut.docx", "unreadable"),
    "a docx of nothing": (archive(word__document=b""), "", "x.docx", "unreadable"),
    "a zip as docx": (archive(a=b"1"), "", "x.docx", "unreadable"),
    "a zip": (archive(a=b"1"), "application/zip", "x.zip", "unsupported-media-type"),
    "a bomb": (archive(word__document=bytes(30 << 20)), "", "bomb.docx", "decompression-bomb"),
    "an old Office file": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "", "x.doc", "unsupported-media-type"),
    "a locked Office file": (
        b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + "EncryptedPackage".encode("utf-16-le"),
        "",
        "x.docx",
        "encrypted",
    ),
    "a PDF without pages": (b"%PDF-1.4\n%%EOF", "", "x.pdf", "unreadable"),
    "half a JSON": (b'{"a": [1, 2', "application/json", "x.json", "unreadable"),
    "an empty JSON": (b"{}", "application/json", "x.json", "no-text"),
    "a deep JSON": (b"[" * 100_000, "application/json", "x.json", "unreadable"),
    "a JSON of 200 levels": (b"[" * 200 + b"1" + b"]" * 200, "application/json", "x.json", "unreadable"),
    "HTML without text": (b"<html><body><script>x()</script></body></html>", "text/html", "x.html", "no-text"),
    "a short text of unknown encoding": ("café".encode("latin-1"), "text/plain", "x.txt", "unreadable"),
}


class ParserContract:
    """Subclass it and provide a fixture `parser`, opened."""

    async def read(self, parser: Parser, data: bytes, filename: str, media_type: str = "") -> list[Element]:
        return list(await parser.parse(data, media_type=media_type, filename=filename))

    @pytest.mark.parametrize("name", DOCUMENTS)
    async def test_every_supported_type_is_read(self, parser: Parser, name: str) -> None:
        elements = await self.read(parser, DOCUMENTS[name], name)
        assert len(" ".join(element.text for element in elements)) > 500
        assert all(element.text.strip() for element in elements)

    @pytest.mark.parametrize(("name", "code"), BROKEN.items())
    async def test_a_broken_example_says_what_is_wrong(self, parser: Parser, name: str, code: str) -> None:
        with pytest.raises(Poison, match=code) as raised:
            await self.read(parser, (EXAMPLES / "broken" / name).read_bytes(), name)
        assert name in raised.value.detail

    @pytest.mark.parametrize("case", HOSTILE)
    async def test_a_hostile_file_is_poison_and_its_neighbours_are_read(self, parser: Parser, case: str) -> None:
        data, media_type, filename, code = HOSTILE[case]
        bad, good = await asyncio.gather(
            self.read(parser, data, filename, media_type),
            self.read(parser, b"a neighbour", "neighbour.txt"),
            return_exceptions=True,
        )
        assert isinstance(bad, Poison)
        assert bad.code == code
        assert filename in bad.detail
        assert isinstance(good, list)

    async def test_markup_nested_without_end_is_poison_or_text(self, parser: Parser) -> None:
        deep = b"<div>" * 100_000 + b"bottom" + b"</div>" * 100_000
        try:
            elements = await self.read(parser, deep, "deep.html")
        except Poison as poison:
            assert poison.code in ("no-text", "unreadable", "parse-timeout")  # noqa: PT017 - either is right
        else:
            assert "bottom" in elements[-1].text
        assert await self.read(parser, b"<p>next</p>", "next.html")

    @pytest.mark.parametrize(
        "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32", "cp1252", "utf-16-le", "cp1251", "shift_jis"]
    )
    async def test_text_in_any_encoding_is_right_or_refused(self, parser: Parser, encoding: str) -> None:
        text = {
            "cp1251": "Ночная смена состоит из двух человек: оператора телескопа и астронома.",
            "shift_jis": "望遠鏡は夜間に運用されます。風が強いときはドームを閉じます。",
        }.get(encoding, "Le café du musée est fermé à Noël. Où êtes-vous allés ? Ça va très bien, merci.")
        try:
            elements = await self.read(parser, text.encode(encoding), "x.txt", "text/plain")
        except Poison as poison:
            assert poison.code == "unreadable"  # noqa: PT017 - a refusal is right where nothing tells the encoding
            assert encoding == "shift_jis"
        else:
            assert [element.text for element in elements] == [text]

    async def test_a_declared_encoding_is_used(self, parser: Parser) -> None:
        plain = await self.read(parser, "café".encode("latin-1"), "x.txt", "text/plain; charset=latin-1")
        page = '<meta charset="koi8-r"><p>Смена</p>'.encode("koi8-r")
        assert [plain[0].text, (await self.read(parser, page, "x.html"))[0].text] == ["café", "Смена"]

    @pytest.mark.parametrize(
        ("name", "remedy"),
        [
            ("a zip", ": publish the files in it one by one"),
            ("an old Office file", ": save it as docx, pptx or xlsx"),
            ("a short text of unknown encoding", "(`headwater ingest --media-type 'text/plain; charset=latin-1'`)"),
        ],
    )
    async def test_a_refusal_ends_with_its_remedy(self, parser: Parser, name: str, remedy: str) -> None:
        data, media_type, filename, _ = HOSTILE[name]
        with pytest.raises(Poison) as refused:
            await self.read(parser, data, filename, media_type)
        assert refused.value.detail.endswith(remedy)

    async def test_control_characters_and_lone_surrogates_are_dropped(self, parser: Parser) -> None:
        escaped = json.dumps({"note": "one\ud800two\x00three"}).encode()
        assert (await self.read(parser, escaped, "x.json"))[0].text == "note: onetwothree"
        assert (await self.read(parser, b"log\x00 entry " * 3 + b"plain " * 99, "x.txt"))[0].text.startswith(
            "log entry"
        )

    async def test_the_content_decides_where_name_and_type_are_wrong(self, parser: Parser) -> None:
        pdf = DOCUMENTS["night-shift.pdf"]
        assert (await self.read(parser, pdf, "notes.txt", "text/plain"))[-1].page == 2

    async def test_simultaneous_documents_do_not_mix(self, parser: Parser) -> None:
        texts = [f"document {number}" for number in range(40)]
        found = await asyncio.gather(*(self.read(parser, text.encode(), f"{text}.txt") for text in texts))
        assert [elements[0].text for elements in found] == texts

    async def test_it_says_that_it_works(self, parser: Parser) -> None:
        assert await parser.check()
