"""The program for nodes as one file, which any Python runs: node/ and nothing else of lab, whatever a node has."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path, PurePosixPath

from lab.execution.cluster import node

FILE = "node.pyz"
PACKAGE = PurePosixPath(*node.__name__.split("."))
START = f"from {node.__name__}.__main__ import main\n\nmain()\n"


@cache
def content() -> bytes:
    """The archive; the same bytes for the same files (PEP 441)."""
    files = {str(PACKAGE / path.name): path.read_text(encoding="utf-8") for path in Path(*node.__path__).glob("*.py")}
    above = {str(folder / "__init__.py"): "" for folder in PACKAGE.parents if folder.name}
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, text in sorted({**above, **files, "__main__.py": START}.items()):
            archive.writestr(zipfile.ZipInfo(name), text)  # which has no time
    return packed.getvalue()


def write(folder: Path) -> None:
    """Put it into a folder, unless it is there: runs that have begun go on with theirs."""
    path = folder / FILE
    if not path.exists() or path.read_bytes() != content():
        partial = path.with_suffix(".new")
        partial.write_bytes(content())
        partial.replace(path)
