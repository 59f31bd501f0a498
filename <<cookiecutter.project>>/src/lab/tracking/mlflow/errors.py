"""MLflow's errors as one line for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit, urlunsplit

from lab import secrets
from lab.tracking import text
from lab.tracking.sink import Trouble

# Deleted by another mirror, or written by it in the same moment: MLflow lets the database tell.
_MET = ("must be in the 'active' state", "must be in the 'deleted' state", "IntegrityError", "UniqueViolation")
_FULL = re.compile("no space left|disk is full|quota exceeded", re.IGNORECASE)
_LOCKED = ("readonly database", "unable to open database")
_HOST = "Invalid Host header"
_ALIEN = "INTERNAL_ERROR: Response: {"  # JSON that is not in MLflow's form
_WEB_PAGE = re.compile(r"<!doctype|<html", re.IGNORECASE)
_CODE = re.compile(r"error code (\d+)|too many (\d+) error responses|(\d{3}) (?:Client|Server) Error")
ENVIRONMENT = "(in the environment, or in .env)"
PROXIED = ("mlflow-artifacts", "http", "https")  # artifacts that go through an MLflow server
# What MLflow needs beyond itself to reach a store of artifacts, by the scheme of its address.
PACKAGES = {
    "s3": "boto3",
    "gs": "google-cloud-storage",
    "wasb": "azure-storage-blob",
    "wasbs": "azure-storage-blob",
    "abfs": "azure-storage-file-datalake azure-identity",
    "abfss": "azure-storage-file-datalake azure-identity",
    "sftp": "pysftp",
    "hdfs": "pyarrow",
    "oss": "aliyunstoreplugin",
}


class Conflict(Exception):
    """Another mirror has changed what we were at."""


@contextmanager
def translated(uri: str) -> Iterator[None]:
    """Make of the errors of MLflow at `uri` a Trouble, or a Conflict."""
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (MlflowException, SQLAlchemyError, OSError) as error:
        message = " ".join(str(error).split())
        is_gone = getattr(error, "error_code", "") == "RESOURCE_DOES_NOT_EXIST"
        if is_gone or any(words in message for words in _MET):
            raise Conflict from error
        raise Trouble(_sentence(public(uri), message, isinstance(error, ConnectionError))) from error


@contextmanager
def of_artifacts(uri: str, server: str) -> Iterator[None]:
    """Make a Trouble of all that goes wrong with the store of artifacts at `uri`, a folder of `server` or behind it.

    Each cloud's library has errors of its own.
    """
    parts = urlsplit(uri)
    place = f"the artifact store {public(urlunsplit(parts._replace(path='', query='', fragment='')))}"
    try:
        if parts.scheme in PROXIED:
            with translated(server if parts.scheme == PROXIED[0] else place):
                yield
        else:
            yield
    except (Trouble, Conflict):
        raise
    except ImportError as error:
        missing = PACKAGES.get(parts.scheme, error.name or str(error))
        raise Trouble(f"{place} needs a package that is not installed here: pip install {missing}") from error
    except Exception as error:
        message = " ".join(str(error).split()) or type(error).__name__
        is_folder = parts.scheme in ("", "file")
        raise Trouble(
            _sentence(public(server), message, False) if is_folder else f"{place}: {_plain(message)}"
        ) from error


def _sentence(place: str, message: str, is_down: bool) -> str:
    """An error in words, with what to set where that is known."""
    server = place if place.startswith("the ") else f"MLflow at {place}"
    found = _CODE.search(message)
    code = next(filter(None, found.groups())) if found else ""
    if _HOST in message:
        return f"{server} is not meant to be called so: its MLFLOW_SERVER_ALLOWED_HOSTS lacks that name"
    if code in ("401", "403") or "PERMISSION_DENIED" in message:
        return (
            f"{server} refuses: MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD {ENVIRONMENT} are not those of a "
            "user who may write there"
        )
    if "CERTIFICATE_VERIFY_FAILED" in message or "SSLCertVerificationError" in message:
        return (
            f"{server} shows a certificate that is not known here: MLFLOW_TRACKING_SERVER_CERT_PATH {ENVIRONMENT} is "
            "to name the file of those who vouch for it"
        )
    if "SSLError" in message or "WRONG_VERSION_NUMBER" in message:
        return f"{server} does not speak TLS as its address says: is it http:// there?"
    if code == "413":
        return f"{server}: a proxy before it takes no request that large (413); nginx calls that client_max_body_size"
    if _FULL.search(message):
        return f"the disk of {place} is full"
    if code == "404" or _ALIEN in message:
        return f"{server} is no MLflow: is MLFLOW_TRACKING_URI {ENVIRONMENT} right, with its path?"
    if code.startswith("5"):
        return f"{server} answers with an error of its own ({code})"
    if _WEB_PAGE.search(message):
        return (
            f"{server} answers with a web page{f' ({code})' if code else ''}, as a proxy does where one has to log in: "
            f"MLFLOW_TRACKING_URI {ENVIRONMENT} is to be MLflow's own address, and MLFLOW_TRACKING_TOKEN what the "
            "proxy asks for"
        )
    if "failed with exception" in message or "failed with timeout" in message or is_down:
        return f"{server} does not answer"
    if any(words in message for words in _LOCKED):
        return f"{place} can't be written"
    return f"{server}: {_plain(message)}"


def _plain(message: str) -> str:
    """What a library says, short and without passwords."""
    return text.cut(secrets.hide(message), 300)


def public(uri: str) -> str:
    """An address as people may see it."""
    return secrets.hide(uri).removeprefix("sqlite:///")
