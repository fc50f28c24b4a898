"""Takes the attachments out of a mail, so that each is looked at like any other file before it is opened."""

from collections.abc import Iterator
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from typing import Final

from processors.backends.documents.readers import BROKEN_INPUT, detection
from processors.errors import Poison

MAX_DEPTH: Final = 5
"""Of mails within mails."""
NOT_READ: Final = ("empty-document", "nested-archive", "no-text", "unsupported-media-type")
"""Why an attachment may be left out: a picture, a signature, an archive. For any other reason the mail is poison."""


def attachments(data: bytes, filename: str) -> Iterator[tuple[str, str, bytes]]:
    """Name, declared media type and content of each. Poison: `unreadable`."""
    try:
        mail = message_from_bytes(data, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        for number, part in enumerate(mail.iter_attachments(), start=1):
            media_type, content = _opened(part)
            yield part.get_filename() or f"attachment {number}", media_type, content
    except BROKEN_INPUT as error:
        raise Poison("unreadable", f"{filename!r} is damaged ({error})"[:400] + ": save it anew") from None


def _opened(part: Message) -> tuple[str, bytes]:
    if part.is_multipart():  # a forwarded mail, or a mail's alternatives
        inner = part.get_payload(0) if part.get_content_maintype() == "message" else part
        return detection.EMAIL, inner.as_bytes() if isinstance(inner, Message) else b""
    content = part.get_payload(decode=True)
    charset = part.get_content_charset()
    media_type = part.get_content_type() + (f"; charset={charset}" if charset else "")
    return media_type, content if isinstance(content, bytes) else b""
