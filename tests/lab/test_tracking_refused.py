"""What stands between a mirror and MLflow, and what it keeps away: told in one line, with what to set."""

from __future__ import annotations

import ssl
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import tracked
from mlflow import MlflowClient
from tracked import send

from lab.execution import preflight_inputs
from lab.tracking.conformance import one, question
from lab.tracking.sink import Trouble

PAGE = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Who are you?</body></html>"
DESIGN = one(question("grid", 3, 2), artifacts={"run.md": b"text"})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


@contextmanager
def proxy(code: int, body: bytes = PAGE, kind: str = "text/html", tls: Path | None = None) -> Iterator[str]:
    """Something on 127.0.0.1 that gives one answer to everything; its address."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_PUT = do_GET

        def log_message(self, format: str, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tls)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http{'s' if tls else ''}://127.0.0.1:{server.server_port}"
        server.shutdown()


def told(address: str) -> str:
    """What a mirror says that can't send there: in one line, and no HTML."""
    with pytest.raises(Trouble) as caught:
        send(address, DESIGN)
    said = str(caught.value)
    assert "\n" not in said
    assert "<" not in said
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("code", "body", "words"),
    [
        (200, PAGE, ["web page", "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_TOKEN"]),
        (401, PAGE, ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]),
        (403, PAGE, ["MLFLOW_TRACKING_USERNAME", "MLFLOW_TRACKING_PASSWORD"]),
        (403, b"Invalid Host header - possible DNS rebinding attack detected", ["MLFLOW_SERVER_ALLOWED_HOSTS"]),
        (404, PAGE, ["MLFLOW_TRACKING_URI", "path"]),
        (404, b'{"detail": "Not Found"}', ["MLFLOW_TRACKING_URI", "path"]),
        (413, PAGE, ["413", "client_max_body_size"]),
        (500, PAGE, ["500"]),
        (502, PAGE, ["502"]),
    ],
)
def test_what_a_proxy_answers(code: int, body: bytes, words: list[str]) -> None:
    with proxy(code, body) as address:
        said = told(address)
        assert all(word in said for word in (*words, address)), said


def test_a_certificate_that_nobody_vouches_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    key, name = tmp_path / "key.pem", ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", key, "-out", tmp_path / "crt.pem"]
    subprocess.run([*made, *name], check=True, capture_output=True)
    both = tmp_path / "both.pem"
    both.write_bytes(key.read_bytes() + (tmp_path / "crt.pem").read_bytes())
    with proxy(200, tls=both) as address:
        assert "MLFLOW_TRACKING_SERVER_CERT_PATH" in told(address)
        monkeypatch.setenv("MLFLOW_TRACKING_SERVER_CERT_PATH", str(tmp_path / "crt.pem"))
        assert "web page" in told(address), "the certificate is taken now"


def test_http_where_https_was_said() -> None:
    with proxy(200) as address:
        assert "http://" in told(address.replace("http:", "https:"))


def placed(store: str, artifacts: str) -> None:
    """Make the experiment of a store with its artifacts in a cloud."""
    tracked.sink(store).client.create_experiment("tests", artifact_location=artifacts)


def figures(store: str) -> list[tuple[str, dict[str, str], int]]:
    """What has arrived of each experiment: its status, its params, and how many metrics."""
    runs = tracked.sink(store).client.search_runs(["1"], "tags.`dvc.exp.id` LIKE '%'")
    return sorted(((run.info.status, run.data.params, len(run.data.metrics)) for run in runs), key=str)


@pytest.mark.parametrize(
    ("artifacts", "package"), [("s3://bucket/runs", "boto3"), ("gs://bucket/runs", "google-cloud-storage")]
)
def test_artifacts_in_a_cloud_whose_package_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, artifacts: str, package: str
) -> None:
    for module in ("boto3", "google.cloud.storage", "google.cloud"):
        monkeypatch.setitem(sys.modules, module, None)
    store = tracked.store(tmp_path)
    placed(store, artifacts)
    (problem,) = send(store, DESIGN).problems
    assert problem.endswith(f"needs a package that is not installed here: pip install {package}")
    assert artifacts.removesuffix("/runs") in problem
    expected = [("FINISHED", member.made.params, 2) for member in DESIGN.members]
    assert figures(store) == sorted(expected, key=str)


def test_a_cloud_that_answers_nothing_holds_up_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own library's error is told; that it took long is not lived through again for each run."""
    from lab.tracking.mlflow import writing

    asked: list[str] = []

    class NoCredentialsError(Exception):
        pass

    def log(*_: Any) -> None:
        asked.append("s3")
        raise NoCredentialsError("Unable to locate credentials\n<Error/>")

    monkeypatch.setattr(MlflowClient, "log_artifacts", log)
    monkeypatch.setattr(writing, "LONG", 0.0)
    design = question("grid", 3, 2)
    members = [replace(each, made=replace(each.made, artifacts={"run.md": b"text"})) for each in design.members]
    store = tracked.store(tmp_path)
    placed(store, "s3://bucket/runs")
    problems = send(store, replace(design, members=members)).problems
    assert len(problems) == 3
    assert all("s3://bucket" in problem and "Unable to locate credentials" in problem for problem in problems)
    assert len(asked) == 1
    assert [metrics for *_, metrics in figures(store)] == [2, 2, 2]


def test_a_proxy_that_takes_no_large_artifact(tmp_path: Path) -> None:
    """The store of artifacts is MLflow's own server, and what stands before it has a limit."""
    store = tracked.store(tmp_path)
    with proxy(413) as address:
        placed(store, f"{address}/api/2.0/mlflow-artifacts/artifacts/runs")
        (problem,) = send(store, DESIGN).problems
    assert "413" in problem
    assert "client_max_body_size" in problem
    assert "<" not in problem
    assert [metrics for *_, metrics in figures(store)] == [2, 2, 2]


@pytest.mark.parametrize(
    ("answer", "shown", "unfit"),
    [
        (b"2.9.2", "MLflow 2.9.2, http://127.0.0.1", ""),
        (b"3.17.2\n", "MLflow 3.17.2, http://127.0.0.1", ""),
        (b"2.8.1", "", "http://127.0.0.1 has MLflow 2.8.1, and lab needs 2.9 or newer there"),
        (PAGE, "MLflow, http://127.0.0.1", ""),
    ],
)
def test_the_checklist_tells_a_server_s_version(
    monkeypatch: pytest.MonkeyPatch, answer: bytes, shown: str, unfit: str
) -> None:
    with proxy(200, answer) as address:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        assert preflight_inputs.tracking(Path("/nonexistent")) == (shown, unfit)
    assert preflight_inputs.tracking(Path("/nonexistent")) == ("MLflow, http://127.0.0.1", ""), "it is down"
