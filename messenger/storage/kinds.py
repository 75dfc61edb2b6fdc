"""What type bytes are of, by themselves. What a browser would run (HTML, SVG, XML, scripts) is text here, and nothing else.

Signatures are the library's, but it looks at two bytes where a format has no more: a text that begins with BM is no bitmap.
"""

import re
from collections.abc import Callable, Sequence
from pathlib import Path

import filetype

ANYTHING = "application/octet-stream"
# What we read, and make small pictures of.
PICTURES = frozenset({"image/png", "image/apng", "image/jpeg", "image/gif", "image/webp"})
# Formats that are text, and more than that.
_WRITTEN = {b"%PDF-": "application/pdf", rb"{\rtf": "application/rtf"}
# So much of the beginning is enough for every signature.
_HEAD_BYTES = 8192
_PIECE_BYTES = 1 << 18
# Control characters that stand in texts: backspace, tab, line feed, form feed, carriage return, escape.
_IN_TEXT = frozenset(b"\b\t\n\f\r\x1b")
_NOT_IN_TEXT = bytes(byte for byte in (*range(0x20), 0x7F) if byte not in _IN_TEXT)


def allowing(types: Sequence[str]) -> Callable[[str], object]:
    """Tells whether a MIME type is among these, each such as `image/png` or `image/*`."""
    return re.compile("|".join(re.escape(type_).replace(r"\*", ".*") for type_ in types)).fullmatch


def kind_of(file: Path, name: str) -> str:
    """The MIME type of a file's bytes. The name counts for one thing: which text is a table. Blocks. Raises OSError."""
    with file.open("rb") as opened:
        head = opened.read(_HEAD_BYTES)
        # In whatever encoding: old tables are written in that of the country where they were made.
        is_text = _is_text(head)
        while is_text and (piece := opened.read(_PIECE_BYTES)):
            is_text = _is_text(piece)
    if is_text:
        for signature, mime_type in _WRITTEN.items():
            if head.startswith(signature):
                return mime_type
        return "text/csv" if name.lower().endswith(".csv") else "text/plain"
    found = filetype.guess(head)
    return ANYTHING if found is None else str(found.mime)


def _is_text(piece: bytes) -> bool:
    return len(piece.translate(None, _NOT_IN_TEXT)) == len(piece)
