"""What `dvc queue status`, `start` and `stop` ask workers, answered: who is there, at what, and end after it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import Any

LOOK = 0.3  # seconds between two looks for a question; DVC waits for an answer for one


class Mailbox:
    """The one of a worker called `node`, read by a thread until the process ends.

    Args:
        app: DVC's Celery application.
        node: the worker's name.
        active: gives the task that it is at, as Celery tells it; None while it is idle.
        stop: called when it shall end after that.
    """

    def __init__(self, app: Any, node: str, active: Callable[[], Mapping[str, Any] | None], stop: Callable[[], None]):
        self.app, self.node, self.active, self.stop = app, node, active, stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Be gone for those who ask."""
        self._ended.set()
        self._thread.join(5)

    def _listen(self) -> None:
        handlers = {
            "active": lambda state, **_: [dict(task)] if (task := self.active()) else [],
            "scheduled": lambda state, **_: [],
            "reserved": lambda state, **_: [],
            "ping": lambda state, **_: {"ok": "pong"},
            "shutdown": lambda state, **_: self.stop(),
        }
        with self.app.connection_for_read() as connection:
            connection.transport.polling_interval = LOOK
            node = self.app.control.mailbox.Node(self.node, state=None, handlers=handlers)
            node.channel = connection.channel()
            consumer = node.listen(callback=lambda body, message: self._answer(node, body, message))
            while not self._ended.is_set():
                try:
                    connection.drain_events(timeout=LOOK)
                except TimeoutError:
                    continue
                except (OSError, ValueError, KeyError):  # a half-written message, a full disk
                    self._ended.wait(LOOK)
            consumer.cancel()
            node.channel.close()

    def _answer(self, node: Any, body: Any, message: Any) -> None:
        if body.get("method") in node.handlers:
            node.handle_message(body, message)
