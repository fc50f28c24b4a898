"""PDF files that mean harm, written object by object."""

import io
import zlib

FONT = "<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>"
MIB = 1024 * 1024


def pdf(*objects: str | bytes, trailer: str = "") -> bytes:
    """A file of these objects, numbered from 1; the first is the catalogue."""
    out, offsets = bytearray(b"%PDF-1.5\n"), []
    for number, body in enumerate(objects, start=1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, body if isinstance(body, bytes) else body.encode())
    xref = len(out)
    out += b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    out += b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    out += b"trailer\n<</Root 1 0 R/Size %d%s>>\n" % (len(objects) + 1, trailer.encode())
    return bytes(out + b"startxref\n%d\n%%%%EOF\n" % xref)


def stream(data: bytes, entries: str = "") -> bytes:
    return b"<</Length %d %s>>stream\n%s\nendstream" % (len(data), entries.encode(), data)


def page(
    content: bytes, *, entries: str = "", resources: str = "", catalogue: str = "", more: tuple[bytes, ...] = ()
) -> bytes:
    """A file of one page with this content stream; objects from number 6 on are `more`."""
    return pdf(
        f"<</Type/Catalog/Pages 2 0 R {catalogue}>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>{resources}>>>>",
        stream(content, entries),
        FONT,
        *more,
    )


def shown(text: str) -> bytes:
    return f"BT /F 12 Tf 50 700 Td ({text}) Tj ET".encode()


def page_tree_cycle() -> bytes:
    return pdf(
        "<</Type/Catalog/Pages 2 0 R>>", "<</Type/Pages/Kids[3 0 R]/Count 1>>", "<</Type/Pages/Kids[2 0 R]/Count 1>>"
    )


def endless_pages() -> bytes:
    """Ten levels with ten times the same child: 10,000,000,000 pages in 2 KB."""
    levels = [f"<</Type/Pages/Count 1000/Kids[{f'{number + 3} 0 R ' * 10}]>>" for number in range(10)]
    return pdf("<</Type/Catalog/Pages 2 0 R>>", *levels, "<</Type/Page/MediaBox[0 0 600 800]>>")


def many_pages(count: int) -> bytes:
    """A flat tree that names one page `count` times."""
    kids = "3 0 R " * count
    return pdf(
        "<</Type/Catalog/Pages 2 0 R>>",
        f"<</Type/Pages/Kids[{kids}]/Count {count}>>",
        "<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Contents 4 0 R/Resources<</Font<</F 5 0 R>>>>>>",
        stream(shown("again")),
        FONT,
    )


def outline_cycle() -> bytes:
    return page(
        shown("A page with an outline that never ends."),
        catalogue="/Outlines 6 0 R",
        more=(b"<</First 7 0 R/Last 7 0 R>>", b"<</Title(a)/Next 7 0 R/First 7 0 R/Parent 6 0 R>>"),
    )


def form_recursion() -> bytes:
    """A form that draws itself."""
    form = stream(b"/X Do /X Do", "/Type/XObject/Subtype/Form/BBox[0 0 9 9]/Resources<</XObject<</X 6 0 R>>>>")
    return page(b"/X Do", resources="/XObject<</X 6 0 R>>", more=(form,))


def contents_cycle() -> bytes:
    return pdf(
        "<</Type/Catalog/Pages 2 0 R>>",
        "<</Type/Pages/Kids[3 0 R]/Count 1>>",
        "<</Type/Page/Parent 2 0 R/Contents 4 0 R>>",
        "4 0 R",
    )


def xref_cycle() -> bytes:
    """A table of contents that names itself as the one before it, and a catalogue that is nowhere."""
    body = b"%PDF-1.5\n"
    return body + b"xref\n0 1\n0000000000 65535 f \ntrailer\n<</Root 1 0 R/Size 2/Prev 9>>\nstartxref\n9\n%%EOF\n"


def flate_bomb() -> bytes:
    """A page of 128 MiB in 600 KB."""
    return page(packed(b" ", 128), entries="/Filter/FlateDecode")


def filter_chain() -> bytes:
    """The same behind two filters, in some kilobytes."""
    return page(zlib.compress(packed(b" ", 128)), entries="/Filter[/FlateDecode/FlateDecode]")


def packed(byte: bytes, mebibytes: int) -> bytes:
    packer = zlib.compressobj(1)
    return b"".join(packer.compress(byte * MIB) for _ in range(mebibytes)) + packer.flush()


def huge_image() -> bytes:
    """A page with no text and an image that claims 2,000,000,000 x 2,000,000,000 points."""
    size = "/Width 2000000000/Height 2000000000/BitsPerComponent 8/ColorSpace/DeviceRGB/Filter/FlateDecode"
    image = stream(packed(bytes(1), 8), f"/Type/XObject/Subtype/Image{size}")
    return page(b"/X Do", resources="/XObject<</X 6 0 R>>", more=(image,))


def deep_array() -> bytes:
    return page(shown("deep"), catalogue=f"/Deep {'[' * 100_000}{']' * 100_000}")


def locked() -> bytes:
    from pypdf import PdfReader, PdfWriter

    writer, out = PdfWriter(clone_from=PdfReader(io.BytesIO(page(shown("secret"))))), io.BytesIO()
    writer.encrypt("password", algorithm="AES-256")
    writer.write(out)
    return out.getvalue()
