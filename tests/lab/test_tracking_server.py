"""Real servers: MLflow over HTTP, on SQLite and, with users and passwords, on PostgreSQL. They come and go."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import contracts
import pytest
import tracked
import yaml
from tracked import dump, export, send

from lab.tracking import mirror
from lab.tracking.conformance import one, question
from lab.tracking.mlflow.links import links
from lab.tracking.sink import Trouble

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    monkeypatch.setattr(mirror, "POLL", 0.5)
    monkeypatch.setattr(mirror, "PATIENCE", (0.5, 1.0))


class Server:
    """An MLflow server on SQLite that comes and goes."""

    def __init__(self, folder: Path):
        self.folder, self.store, self.port = folder, tracked.store(folder), tracked.free_port()
        self.running: ExitStack | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> str:
        if self.running is None:
            self.running = ExitStack()
            self.running.enter_context(tracked.server(self.folder, self.store, self.port))
        return self.address

    def down(self) -> None:
        """As by kill -9."""
        if self.running is not None:
            self.running.close()
            self.running = None


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    found = Server(tmp_path_factory.mktemp("http"))
    yield found
    found.down()


class Passes:
    """What `watch` takes for the project's mirror: it sends a design that changes."""

    places = "the server"

    def __init__(self, uri: str):
        self.uri, self.design, self.done = uri, question("grid", 2, 2), 0

    def has_news(self) -> bool:
        return True

    def once(self, names: Any) -> Any:
        report = send(self.uri, self.design)
        self.done += 1
        return report


def test_a_server_that_is_down_is_told_once_and_caught_up(http: Server, tmp_path: Path) -> None:
    said: list[str] = []
    passes, ended = Passes(http.address), threading.Event()
    thread = threading.Thread(target=mirror.watch, args=(passes, (), said.append, lambda: not ended.is_set()))
    thread.start()
    try:
        wait(lambda: bool(said))
        http.up()
        wait(lambda: passes.done > 0)
        http.down()
        passes.design = question("grid", 4, 6)
        wait(lambda: len(said) == 3)
        http.up()
        before = passes.done
        wait(lambda: passes.done > before)
    finally:
        ended.set()
        thread.join(60)
    down = f"MLflow at {http.address} does not answer; it is tried again, and nothing waits for it"
    again = "the server answers again, and has all there is"
    assert said == [down, again, down, again]
    store = tracked.store(tmp_path)
    send(store, question("grid", 4, 6), artifacts=tmp_path / "artifacts")
    assert dump(export(http.address)) == dump(export(store))


def wait(condition: Any) -> None:
    import trivial

    trivial.wait_until(condition, 200)


@pytest.mark.nightly
def test_mirrors_at_once_over_http(http: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    design = one(question("threads", 6, 10), artifacts={"run.md": b"text"})
    address = http.up()
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda _: send(address, design), range(4)))
    assert send(address, design).created == 0
    found = {key: each for key, each in export(address).items() if "threads" in key}
    assert len(found) == 7
    assert all(sum(map(len, found[member.key]["metrics"].values())) == 20 for member in design.members)
    assert found[design.members[0].key]["artifacts"] == ["run.md"]
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "tracking.yaml").write_text("experiment: tests\n")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
    pages = links(tmp_path, "threads")
    assert pages.keys() == {member.key.partition("/")[2] for member in design.members}
    assert all(re.fullmatch(f"{address}/#/experiments/\\d+/runs/[0-9a-f]{{32}}", page) for page in pages.values())
    assert not links(tmp_path, "another")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    assert not links(tmp_path, "threads"), "and one that is down keeps nobody waiting"


def test_a_server_with_an_error_of_its_own() -> None:
    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(500)

        do_POST = do_GET

        def log_message(self, format: str, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Broken) as broken:
        threading.Thread(target=broken.serve_forever, daemon=True).start()
        with pytest.raises(Trouble) as caught:
            send(f"http://127.0.0.1:{broken.server_port}", question("grid", 1, 1))
        broken.shutdown()
    assert "500" in str(caught.value)
    assert "\n" not in str(caught.value)


def composed() -> tuple[dict[str, Any], str]:
    """What compose.yaml says of MLflow, and its file of users."""
    content = yaml.safe_load((contracts.PROJECT / "compose.yaml").read_text())
    return content["services"]["mlflow"], content["configs"]["auth"]["content"]


def documented(word: str) -> str:
    """The Python in docs/tracking.md in which a word occurs."""
    page = contracts.rendered((contracts.PROJECT / "docs" / "tracking.md").read_text())
    (found,) = [each for each in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if word in each]
    return found


MISSING = [name for name in ("psycopg2", "flask_wtf") if find_spec(name) is None]
MISSING += [] if tracked.postgres() else ["PostgreSQL (apt install postgresql)"]


@pytest.mark.nightly
@pytest.mark.skipif(bool(MISSING), reason=f"a team's server is not tested: {', '.join(MISSING)} not installed")
def test_postgresql_with_users(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose.yaml sets it up, but for Docker."""
    folder = tmp_path_factory.mktemp("postgres")
    service, auth = composed()
    changes = {"artifacts": {"run.md": b"text"}, "params": {"lr": "0.3"}, "name": "n" * 250}
    design = one(question("grid", 3, 20), **changes)
    with ExitStack() as stack:
        place = stack.enter_context(tracked.database(tracked.free_port()))

        def here(text: str) -> str:
            return text.replace("postgresql+psycopg2://mlflow:${POSTGRES_PASSWORD}@postgres", place)

        (folder / "auth.ini").write_text(here(auth))
        environment = {name: here(value) for name, value in service["environment"].items()}
        store = environment.pop("MLFLOW_BACKEND_STORE_URI")
        environment |= {"MLFLOW_FLASK_SERVER_SECRET_KEY": "for tests", "MLFLOW_AUTH_ADMIN_PASSWORD": "a long password"}
        environment |= {"MLFLOW_AUTH_CONFIG_PATH": str(folder / "auth.ini")}
        del environment["MLFLOW_SERVER_ALLOWED_HOSTS"]  # it has another port here
        words = service["command"].split()
        options = words[words.index("--app-name") :][:2]
        address = stack.enter_context(
            tracked.server(folder / "server", store, tracked.free_port(), *options, **environment)
        )

        def become(name: str, password: str) -> None:
            monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", name)
            monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", password)

        def refused() -> None:
            with pytest.raises(Trouble, match="MLFLOW_TRACKING_PASSWORD") as caught:
                send(address, design)
            assert "\n" not in str(caught.value)

        become("admin", "wrong")
        refused()
        become("admin", "a long password")
        assert send(address, question("grid", 2, 10)).created == 3
        made = documented("get_app_client").replace("http://127.0.0.1:5000", address)
        users, grants = made.split("for kind in")
        names: dict[str, Any] = {}
        exec(users, names)
        become("ada.l", "twelve characters or more")
        refused()
        become("admin", "a long password")
        exec("for kind in" + grants, names)
        become("ada.l", "twelve characters or more")
        assert send(address, design).messages == [
            f"{'n' * 250}: its params have changed, so its run in MLflow was made anew"
        ]
        assert send(address, design).created == 0
        found = export(address)
    assert found["0123456789ab/grid-2"]["tags"]["mlflow.parentRunId"] == "grid"
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME")
    file = tracked.store(folder)
    send(file, design, artifacts=folder / "artifacts")
    assert dump(found) == dump(export(file))
