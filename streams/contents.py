"""What a document event carries: its content, or a claim to where that lies."""

import asyncio
from pathlib import Path

from schemas import Claim, InlineBytes, InlineText, Source
from streams.settings import Settings

INLINE_BYTES = 512 * 1024
"""Anything larger travels as a claim check."""
LARGE_FILES = 2
"""Files over that size that are read at once, up to 256 MB each."""


class Contents:
    """Makes the sources of document events; what is large goes to the object store of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._large = asyncio.Semaphore(LARGE_FILES)

    async def source(self, content: str | bytes | Path) -> Source:
        """Text, bytes, or a file's bytes, inline where they are small. Raises OSError where a file cannot be read."""
        if isinstance(content, Path):
            if (await asyncio.to_thread(content.stat)).st_size > INLINE_BYTES:
                async with self._large:
                    return await self.claim(InlineBytes(data=await asyncio.to_thread(content.read_bytes)))
            content = await asyncio.to_thread(content.read_bytes)
        source = InlineText(text=content) if isinstance(content, str) else InlineBytes(data=content)
        return await self.claim(source) if len(_bytes(source)) > INLINE_BYTES else source

    async def claim(self, source: InlineText | InlineBytes) -> Claim:
        """The content, put into the object store. Raises Poison and Transient."""
        from streams.composition import Backends  # only large documents pay for the object store's client

        store = Backends(self._settings).objects
        await store.open()
        try:
            return await store.put(_bytes(source))
        finally:
            await store.close()


def _bytes(source: InlineText | InlineBytes) -> bytes:
    # A lone surrogate has no UTF-8 form; `encode` of the event says so in words, so it must get that far.
    return source.text.encode(errors="surrogatepass") if isinstance(source, InlineText) else source.data
