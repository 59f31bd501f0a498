"""Names in labels: of classes, which must differ, and of images, which labels give without saying where they lie."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Collection, Sequence
from functools import cached_property
from hashlib import md5
from pathlib import Path, PurePosixPath
from unicodedata import normalize
from urllib.parse import quote

from ...shared.errors import UserError
from .archives import shown
from .notes import Notes
from .sites import SPLIT_NAMES, images_below

UNFIT = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{name}{number}" for name in ("COM", "LPT") for number in range(1, 10))}
LONGEST = 200  # bytes of a folder's name; systems take 255


def checked_names(names: list[str], place: str) -> list[str]:
    """The classes' names. Raises UserError where one is empty or there twice."""
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if "" in names or twice:
        what = f"names {', '.join(twice)} more than once" if twice else "has a class without a name"
        raise UserError(f"{place} {what}: each class needs a name of its own.")
    return names


def folder_name(label: str) -> str:
    """A class's name as a folder's. What would lead elsewhere, or what some system can't take, is written as %2F.

    Two labels may come to one name: which image has which is told by items.csv.
    """
    name = UNFIT.sub(lambda match: quote(match[0], safe=""), label)
    if name[-1:] in {".", " "}:  # `..`, and what Windows cuts off
        name = f"{name[:-1]}%{ord(name[-1]):02X}"
    name = f"{name}%" if name.partition(".")[0].upper() in DEVICES else name
    if len(name.encode()) > LONGEST:
        name = f"{name.encode()[: LONGEST - 9].decode(errors='ignore')}-{md5(label.encode()).hexdigest()[:8]}"
    return name


class Images:
    """The images below a place, found by the names that labels give."""

    def __init__(self, place: Path, notes: Notes, masks: Collection[str] = ()) -> None:
        """`masks`: the names of folders whose images are masks, and left out."""
        self.place, self._notes = place, notes
        self.paths = []
        for path in images_below(place, notes):
            if set(masks) & set(path.relative_to(place).parts[:-1]):
                notes.add("masks", shown(path))
            else:
                self.paths.append(path)
        self._present = {_composed(path): path for path in self.paths}
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            self._by_name[_composed(path).name].append(path)
            self._by_name[_composed(path).stem].append(path)  # tables may leave the suffix out
        self._listed: set[Path] = set()

    def find(self, name: str, places: Sequence[Path], split: str = "") -> Path | None:
        """The image of this name or path, seen from one of `places`; of several, the one in the split's folder.

        Where nothing lies at that path, another of the same name is taken, and noted: but for paths of other machines.
        """
        relative = PurePosixPath(normalize("NFC", name.replace("\\", "/")))
        if not name:
            return None
        inside = [place / folder for place in places for folder in ("", "images", *SPLIT_NAMES.get(split, ()))]
        candidates = [_composed(Path(os.path.normpath(folder / relative))) for folder in inside]
        found = next((self._present[path] for path in candidates if path in self._present), None)
        if found is None and ".." not in relative.parts:  # which leads out of the data, or to nothing
            found = self._named(relative, split)
        if found:
            self._listed.add(found)
        return found

    def _named(self, relative: PurePosixPath, split: str) -> Path | None:
        common = {path: _common_end(path, relative) for path in self._by_name.get(relative.name, [])}
        same = [path for path, length in common.items() if length == max(common.values())]
        if len(same) > 1:
            same = [path for path in same if set(SPLIT_NAMES.get(split, ())) & {part.lower() for part in path.parts}]
        if len(same) != 1:
            return None
        is_relative = not relative.is_absolute() and ":" not in relative.parts[0]
        if is_relative and len(relative.parts) > 1 and common[same[0]] == 1:
            self._notes.add("found_by_name", f"{relative} = {shown(same[0])}")
        return same[0]

    def note_missing(self, place: str, name: str) -> None:
        """Note a name in labels that no image has, with the image that may be meant."""
        wanted = PurePosixPath(normalize("NFC", name.replace("\\", "/"))).name.casefold()
        near = self._by_any_case.get(wanted)
        outside = os.path.isabs(name) and os.path.isfile(name)  # no path is too long or odd for these
        hint = f" (there is {shown(near)})" if near else " (it lies outside data.source.path)" if outside else ""
        self._notes.add("missing_images", f"{place}{name}{hint}")

    @cached_property
    def _by_any_case(self) -> dict[str, Path]:
        return {_composed(path).name.casefold(): path for path in reversed(self.paths)}

    def note_unlisted(self, notes: Notes) -> None:
        """Note the images that no label file has listed."""
        for path in self.paths:
            if path not in self._listed:
                notes.add("unlisted_images", shown(path))


def _composed(path: Path) -> Path:
    """The path with each letter and its accent as one character: macOS takes them apart in names of files."""
    return Path(normalize("NFC", str(path)))


def _common_end(path: Path, relative: PurePosixPath) -> int:
    """How many of the last parts of two paths are the same; the second may be without its suffix."""
    path = _composed(path)
    if path.name != relative.name:
        path = path.with_suffix("")
    pairs = zip(reversed(path.parts), reversed(relative.parts), strict=False)
    return next(
        (index for index, (one, other) in enumerate(pairs) if one != other), min(len(path.parts), len(relative.parts))
    )
