"""Names in labels: of classes, which must differ, and of images, which labels give without saying where they lie."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from ...shared.errors import UserError
from .archives import shown
from .notes import Notes
from .sites import SPLIT_NAMES, images_below


def checked_names(names: list[str], place: str) -> list[str]:
    """The classes' names. Raises UserError where one is empty or there twice."""
    names = [name.strip() for name in names]
    twice = sorted({name for name in names if names.count(name) > 1})
    if "" in names or twice:
        what = f"names {', '.join(twice)} more than once" if twice else "has a class without a name"
        raise UserError(f"{place} {what}: each class needs a name of its own.")
    return names


class Images:
    """The images below a place, found by the names that labels give."""

    def __init__(self, place: Path, notes: Notes) -> None:
        self.paths = images_below(place, notes)
        self._present = set(self.paths)
        self._by_name: dict[str, list[Path]] = defaultdict(list)
        for path in self.paths:
            self._by_name[path.name].append(path)
            self._by_name[path.stem].append(path)  # tables may leave the suffix out
        self._listed: set[Path] = set()

    def find(self, name: str, places: Sequence[Path], split: str = "") -> Path | None:
        """The image of this name or path, seen from one of `places`; of several, the one in the split's folder."""
        if not name:
            return None
        relative = PurePosixPath(name.replace("\\", "/"))
        inside = [place / folder for place in places for folder in ("", "images", *SPLIT_NAMES.get(split, ()))]
        candidates = [folder / relative for folder in inside]
        found = next((path for path in candidates if path in self._present), None) or self._named(relative, split)
        if found:
            self._listed.add(found)
        return found

    def _named(self, relative: PurePosixPath, split: str) -> Path | None:
        common = {path: _common_end(path, relative) for path in self._by_name.get(relative.name, [])}
        same = [path for path, length in common.items() if length == max(common.values())]
        if len(same) > 1:
            same = [path for path in same if set(SPLIT_NAMES.get(split, ())) & {part.lower() for part in path.parts}]
        return same[0] if len(same) == 1 else None

    def note_unlisted(self, notes: Notes) -> None:
        """Note the images that no label file has listed."""
        for path in self.paths:
            if path not in self._listed:
                notes.add("unlisted_images", shown(path))


def _common_end(path: Path, relative: PurePosixPath) -> int:
    """How many of the last parts of two paths are the same; the second may be without its suffix."""
    if path.name != relative.name:
        path = path.with_suffix("")
    pairs = zip(reversed(path.parts), reversed(relative.parts), strict=False)
    return next(
        (index for index, (one, other) in enumerate(pairs) if one != other), min(len(path.parts), len(relative.parts))
    )
