"""What runs in the reading process: one file format, or one family of them, per module."""

import zipfile
import zlib
from typing import Final

BROKEN_INPUT: Final = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,
    SyntaxError,
    TypeError,
    ValueError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What parsing libraries raise when they stumble over damaged files; anything else ends the reading process."""
