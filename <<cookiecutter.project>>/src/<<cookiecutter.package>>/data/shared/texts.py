"""Texts that a person or a tool has written beside the images: lists, tables, labels."""

from __future__ import annotations

from pathlib import Path

from ...shared.errors import UserError
from .archives import shown


def read_text(file: Path) -> str:
    """The text of a file, without a byte order mark. Raises UserError where it is not UTF-8."""
    content = file.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{shown(file)}, line {line}: not in UTF-8: save the file in that encoding.") from error


def read_lines(file: Path) -> list[str]:
    """The lines that hold something, without what surrounds them. Raises UserError."""
    return [line for line in map(str.strip, read_text(file).splitlines()) if line]
