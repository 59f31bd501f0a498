"""DVC's cache, as several workers write to it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest

from lab.execution.worker import cache as caches
from lab.execution.worker.cache import Cache
from lab.execution.worker.content import Content, Hashes


@pytest.mark.parametrize("lost", [False, True])
def test_an_object_is_replaced_as_it_is_linked(lost: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By another worker that puts the same in: link(2) finds no such file then. One that is gone is told."""
    path, md5 = tmp_path / "table.csv", hashlib.md5(b"a,b").hexdigest()
    path.write_bytes(b"a,b")
    cache = Cache(tmp_path / "cache", ["reflink", "hardlink"], False, Hashes())
    transfer, failed = caches.transfer, list[str]()

    def raced(source: Any, start: str, target: Any, end: str, **options: Any) -> Any:
        if start == str(cache.path(md5)) and not failed:
            failed.append(start)
            Path(start).unlink()
            if not lost:
                cache.path(md5).write_bytes(b"a,b")
            raise FileNotFoundError(2, "No such file or directory", start)
        return transfer(source, start, target, end, **options)

    monkeypatch.setattr(caches, "transfer", raced)
    if lost:
        with pytest.raises(FileNotFoundError):
            cache.add(path, Content(md5, 3), [], cache.types)
    else:
        cache.add(path, Content(md5, 3), [], cache.types)
        assert path.read_bytes() == b"a,b" and path.samefile(cache.path(md5))
    assert failed
