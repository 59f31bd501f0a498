"""Zip archives, unpacked for the time of the stage: DVC watches the archive itself."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from tempfile import TemporaryDirectory

from ...shared.errors import UserError

_unpacked: dict[Path, TemporaryDirectory[str]] = {}  # by archive; removed when the process ends
ENCRYPTED = 1  # a bit of an entry's flags
_BESIDE = (".dvc", ".gitignore", ".md", ".txt")  # what may lie beside the one archive of a folder


def unpacked(path: Path) -> Path:
    """The folder that `path` stands for: itself, or what is in it where it is a zip archive or holds one alone.

    Raises:
        UserError: the archive can't be read, or is larger than the free disk.
    """
    archive = _archive(path)
    if archive is None:
        return path
    if archive not in _unpacked:
        folder = TemporaryDirectory(prefix="archive-")
        _extract(archive, Path(folder.name))
        _unpacked[archive] = folder
    return _top(Path(_unpacked[archive].name))


def _top(folder: Path) -> Path:
    """Where an archive's content begins: most hold one folder alone, which has it all."""
    while True:
        held = [path for path in folder.iterdir() if path.name not in ("__MACOSX", ".DS_Store")]
        if len(held) != 1 or not held[0].is_dir():
            return folder
        folder = held[0]


def shown(path: Path) -> str:
    """A path for people: of an unpacked file, the archive's and the path in it."""
    for archive, folder in _unpacked.items():
        if path.is_relative_to(folder.name):
            return f"{archive}/{path.relative_to(folder.name)}"
    return str(path)


def _archive(path: Path) -> Path | None:
    if path.is_file():
        archives = [path] if path.suffix.lower() == ".zip" else []
    else:
        files = [file for file in path.iterdir() if not file.name.startswith(".")] if path.is_dir() else []
        archives = [file for file in files if file.suffix.lower() == ".zip"]
        if any(file not in archives and not file.name.lower().endswith(_BESIDE) for file in files):
            return None  # the data lies beside it
    if len(archives) > 1:
        names = ", ".join(sorted(file.name for file in archives)[:3])
        raise UserError(f"{path} has {len(archives)} archives ({names}): give one, or unpack them.")
    damaged = [file for file in archives if not zipfile.is_zipfile(file)]
    if damaged:
        raise UserError(f"{damaged[0]} can't be unpacked: it is no zip archive, or damaged.")
    return archives[0] if archives else None


def _extract(archive: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(archive) as opened:
            if any(entry.flag_bits & ENCRYPTED for entry in opened.infolist()):
                raise UserError(f"{archive} is encrypted: unpack it with its password.")
            size, free = sum(entry.file_size for entry in opened.infolist()), shutil.disk_usage(folder).free
            if size > 0.9 * free:
                raise UserError(
                    f"{archive} holds {size / 1e9:.1f} GB, but {folder.parent} has {free / 1e9:.1f} GB free."
                )
            opened.extractall(folder)
    except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError) as error:  # damaged, encrypted, odd
        raise UserError(f"{archive} can't be unpacked: {error}") from error
