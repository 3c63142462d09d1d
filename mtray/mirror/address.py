"""The address of a mirror: checked, kept free of credentials, and opened with pyarrow."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import SplitResult, parse_qsl, quote, urlsplit

from mtray.errors import ConfigError
from mtray.mirror.bucket import Bucket

OPTION = "--mirror"
EXAMPLES = "such as s3://bucket/path, gs://bucket/path, hdfs://host:8020/path or file:///mnt/copies"
READ_BY_PYARROW = ("file", "gs", "gcs", "hdfs", "viewfs", "abfs", "abfss")
URI_CHARACTERS = "%:/?#[]@!$&'()*+,;="  # besides letters, digits and -._~
S3_KEYS = ("region", "scheme", "endpoint_override")
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
REGIONS = ("AWS_REGION", "AWS_DEFAULT_REGION")
SECRET_KEY = re.compile(r"key|secret|token|passw|pwd|sig|credential", re.IGNORECASE)
# environment variables whose values must not be in a message
SECRET_VARIABLE = re.compile(r"KEY|SECRET|TOKEN|PASSW|SAS|CREDENTIAL", re.IGNORECASE)
SHORTEST = 6  # characters of such a value; shorter ones stand in ordinary words
LONGEST = 400  # characters of an error that are said
# seconds; pyarrow's own are 1 and 3, which a busy server exceeds
CONNECT, REQUEST = 10, 60


def checked_address(text: str, option: str = OPTION) -> str:
    """The address, if it names a place by a URI without credentials. Raises ConfigError."""
    parts = urlsplit(text)
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text) or not (parts.netloc + parts.path).strip(
        "/"
    ):
        hint = f"; for a folder: file://{text}" if text.startswith("/") else ""
        raise ConfigError(f"{option}: expected a URI, {EXAMPLES}, found {shown(text)!r}{hint}")
    if _user(text) or any(SECRET_KEY.search(key) for key, _ in parse_qsl(parts.query)):
        raise ConfigError(
            f"{option} {shown(text)}: has credentials in it, which would be seen in lists of "
            "processes and logs; leave them out, and give them in the environment "
            "(AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, "
            "GOOGLE_APPLICATION_CREDENTIALS) or by the machine's role"
        )
    return text


def _user(text: str) -> bool:
    """Whether a password, or a key before `@`, is in it. A name alone is none, except with S3. A
    password may have any of `/?#` in it, as many keys of S3 do, so the last `@` is looked for."""
    scheme, _, rest = text.partition("://")
    user, at, _ = rest.rpartition("@")
    if scheme.lower() == "s3" and "@" in re.split(r"[/?#]", rest)[0]:
        return True
    # the port of a host is none, with an `@` in the path
    return bool(at) and ":" in re.sub(r"^[^/:@]*:\d+/", "", user)


def shown(text: str) -> str:
    """The address without what could be a credential."""
    if _user(text):
        text = re.sub(r"(?<=//).*@", "", text)
    place, _, query = text.partition("?")
    place = re.sub(r"(?<=//)[^/]*@", "", place)
    kept = [f"{k}={v}" for k, v in parse_qsl(query) if k in S3_KEYS]
    return place + ("?" + "&".join(kept) if kept else "")


def error_text(error: BaseException, environment: Mapping[str, str] = os.environ) -> str:
    """An error in one line, without values of variables that hold credentials, or an address's
    user."""
    first = next((line for line in str(error).splitlines() if line.strip()), "")
    found = f"{type(error).__name__}: {first}".removesuffix(": ")
    for name, value in environment.items():
        if SECRET_VARIABLE.search(name) and len(value) >= SHORTEST:
            found = found.replace(value, f"<{name}>")
    return re.sub(r"(?<=//)[^/\s@]*@", "", found)[:LONGEST]


def opened(address: str, option: str = OPTION) -> Bucket:
    """The place of an address. Raises ConfigError if it is none that is known here; may connect,
    and raise OSError."""
    import pyarrow as pa

    checked_address(address, option)

    try:
        files, root = _filesystem(address)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ImportError, ValueError) as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(
            f"{option} {shown(address)}: {error_text(error)}; give a URI, {EXAMPLES}, or install "
            "the fsspec package for it (such as adlfs or sshfs)"
        ) from None
    return Bucket(files, root, shown(address).partition("?")[0])


def _filesystem(address: str) -> tuple[Any, str]:
    from pyarrow import fs

    parts = urlsplit(address)
    if parts.scheme == "s3":
        return _s3(parts), (parts.netloc + parts.path).rstrip("/")
    if parts.scheme == "file" and parts.netloc not in ("", "localhost"):
        raise ValueError(f"a file URI has three slashes: file:///{parts.netloc}{parts.path}")
    if parts.scheme in READ_BY_PYARROW:
        if (escaped := quote(address, safe=URI_CHARACTERS)) != address:
            raise ValueError(f"characters such as spaces are escaped in a URI: {shown(escaped)}")
        found: tuple[Any, str] = fs.FileSystem.from_uri(address)
        return found
    from fsspec.core import url_to_fs

    files, root = url_to_fs(address)
    return fs.PyFileSystem(fs.FSSpecHandler(files)), root


def _s3(parts: SplitResult) -> Any:
    """pyarrow's own reading of such a URI, with longer timeouts, and with the variables for the
    endpoint that other tools know."""
    from pyarrow import fs

    given = dict(parse_qsl(parts.query))
    if unknown := sorted(set(given) - set(S3_KEYS)):
        raise ConfigError(
            f"{OPTION} {shown(parts.geturl())}: the query has {unknown[0]!r}; allowed are "
            f"{', '.join(S3_KEYS)}"
        )
    if "endpoint_override" not in given and (url := _first(ENDPOINTS)):
        endpoint = urlsplit(url if "//" in url else f"https://{url}")
        given["endpoint_override"] = endpoint.netloc + endpoint.path.rstrip("/")
        given.setdefault("scheme", endpoint.scheme)
    region = given.get("region") or _first(REGIONS)
    if not region and "endpoint_override" not in given:
        region = fs.resolve_s3_region(parts.netloc)
    return fs.S3FileSystem(
        region=region or "us-east-1", scheme=given.get("scheme", "https"),
        endpoint_override=given.get("endpoint_override"), request_timeout=REQUEST,
        connect_timeout=CONNECT, allow_delayed_open=True,
    )  # fmt: skip


def _first(names: tuple[str, ...]) -> str | None:
    return next((os.environ[name] for name in names if os.environ.get(name)), None)
