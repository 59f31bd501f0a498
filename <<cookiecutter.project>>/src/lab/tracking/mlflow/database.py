"""MLflow's SQLite file, where no server is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SQLITE = "sqlite:///"


def inode(uri: str) -> int:
    """The number of the file that an address names; 0 where it names none."""
    path = Path(uri.removeprefix(SQLITE))
    return path.stat().st_ino if uri.startswith(SQLITE) and path.exists() else 0


def state(uri: str) -> str:
    """What changes when anybody writes to the file; empty where the address names none."""
    if not inode(uri):
        return ""
    status = Path(uri.removeprefix(SQLITE)).stat()
    return f"{status.st_ino} {status.st_mtime_ns} {status.st_size}"


def hurry() -> None:
    """Let SQLite leave the waiting for the disk to the system: what a power cut could cost can be made again."""
    from sqlalchemy import event
    from sqlalchemy.engine import Engine

    if not event.contains(Engine, "connect", _set_pragmas):
        event.listen(Engine, "connect", _set_pragmas)


def _set_pragmas(connection: Any, _: Any) -> None:
    if type(connection).__module__.startswith("sqlite3"):
        connection.execute("PRAGMA synchronous=OFF")
