"""What a file is that no image or weights can be read from, told by how it begins."""

from __future__ import annotations

from collections.abc import Callable

SIGNS: dict[str, Callable[[bytes], bool]] = {  # the first that fits
    "an empty file": lambda content: not content,
    "zeros alone": lambda content: not content.strip(b"\0"),
    "HEIC": lambda content: content[4:8] == b"ftyp" and content[8:12] in HEIC,
    "AVIF": lambda content: content[4:12] in (b"ftypavif", b"ftypavis"),
    "a video": lambda content: content[4:8] == b"ftyp" or content.startswith(b"\x1aE\xdf\xa3"),
    "TIFF of another kind than Pillow reads": lambda content: content.startswith((b"II*\0", b"MM\0*", b"II+\0")),
    "a web page": lambda content: content[:512].lstrip().lower().startswith((b"<!doctype html", b"<html")),
    "SVG or other XML": lambda content: content[:512].lstrip().lower().startswith((b"<?xml", b"<svg")),
    "PDF": lambda content: content.startswith(b"%PDF"),
    "an archive": lambda content: content.startswith((b"PK\x03\x04", b"\x1f\x8b")),
    "NumPy's": lambda content: content.startswith(b"\x93NUMPY"),
    "DICOM": lambda content: content[128:132] == b"DICM",
    "a pointer of Git LFS, without the file: git lfs pull": lambda content: content.startswith(b"version https://git"),
}
HEIC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")


def described(content: bytes) -> str:
    """What the content of a file is; empty where nothing tells."""
    return next((name for name, fits in SIGNS.items() if fits(content)), "")
