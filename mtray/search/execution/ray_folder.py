"""Where Ray keeps the files of a cluster that it starts: sockets, whose paths the kernel limits,
and the token that its dashboard asks for."""

from __future__ import annotations

import os
import secrets
import shlex
from dataclasses import dataclass
from pathlib import Path

from mtray.errors import ConfigError, RunError
from mtray.paths import CACHE_VARIABLE, cache_dir

SHORT = Path("/tmp")
SOCKET_BYTES = 107  # of a path, unix(7)
# Ray's longest one, with the greatest process number
SOCKET = "ray/session_2026-01-31_23-59-59_000000_4194304/sockets/dash_TaskEventsHead"
TOKEN_FILE = "ray_auth_token"
# where Ray unpacks the working directory of a submitted job
JOB_FILES = "runtime_resources/working_dir_files/"
# of these the user has given a token, or wants none
TOKEN_VARIABLES = ("RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH")


@dataclass(frozen=True)
class SessionFolder:
    """The folder that Ray makes its own one in. `note`: why it is another one than asked for; empty
    if it is not."""

    path: Path
    note: str = ""


def session_folder(short: Path = SHORT) -> SessionFolder:
    """The folder of RAY_TMPDIR or TMPDIR, as Ray takes it, or a short one if sockets in it would
    have paths that are too long. Raises RunError if neither will do."""
    variable = next((name for name in ("RAY_TMPDIR", "TMPDIR") if os.environ.get(name)), None)
    asked = Path(os.environ[variable]) if variable else SHORT
    problem = _problem(asked)
    if not problem:
        return SessionFolder(asked)
    if asked == short or (instead := _problem(short)):
        also = "" if asked == short else f"; {short}: {instead}"
        raise RunError(
            f"{variable or 'the folder for temporary files'} {asked}: {problem}{also}; set "
            "RAY_TMPDIR to a folder with a short path that you may write to"
        )
    return SessionFolder(short, f"{variable} {asked}: {problem}, so Ray's files are in {short}/ray")


def _problem(folder: Path) -> str:
    """Why Ray cannot keep its files there; empty if it can."""
    if not folder.is_dir() or not os.access(folder, os.W_OK | os.X_OK):
        return "is no folder that can be written"
    length = len(os.fsencode(folder / SOCKET))
    if length > SOCKET_BYTES:
        return f"paths of sockets there have {length} bytes, and {SOCKET_BYTES} are allowed"
    return ""


def check_lasting(runs_dir: Path) -> None:
    """Raise ConfigError if the runs folder is in the copy of a submitted job's working directory,
    which Ray deletes after the job, and which no other machine sees."""
    path = runs_dir.absolute()
    if JOB_FILES in f"{path}/":
        raise ConfigError(
            f"--runs-dir {runs_dir}: is {path}, in the copy of the job's working directory, which "
            "Ray deletes after the job; give the absolute path of a folder that all machines see"
        )


def keep_token() -> None:
    """Keep Ray's token in mtray's cache folder where the home folder is missing or cannot be
    written, which Ray takes for granted. Raises RunError where the cache folder cannot either."""
    if any(os.environ.get(name) for name in TOKEN_VARIABLES) or _home_is_writable():
        return
    file = cache_dir().absolute() / TOKEN_FILE
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        if not file.exists():
            handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(handle, secrets.token_hex(32).encode())
            os.close(handle)
    except OSError as error:
        raise RunError(
            f"the home folder cannot be written, and neither can {file.parent} "
            f"({error.strerror}); set {CACHE_VARIABLE} to a folder you own"
        ) from None
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(file)


def _home_is_writable() -> bool:
    try:
        folder = Path.home() / ".ray"
    except RuntimeError:  # no HOME, and a user without an entry in the password file
        return False
    if (folder / "auth_token").is_file():
        return os.access(folder / "auth_token", os.R_OK)
    existing = folder if folder.exists() else folder.parent
    return existing.is_dir() and os.access(existing, os.W_OK | os.X_OK)


def token_command() -> str:
    """The command that prints the token of the dashboard."""
    kept = os.environ.get("RAY_AUTH_TOKEN_PATH")
    return f"cat {shlex.quote(kept)}" if kept else "ray get-auth-token"
