"""The token that Ray sends to a cluster, looked at before Ray is: it ends the process for one that
it cannot read or send."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from mtray.compat.ray import asks_for_token
from mtray.errors import RunError
from mtray.search.execution.ray_folder import TOKEN_VARIABLES

GET_TOKEN = "`ray get-auth-token` on a machine of the cluster prints it"
LONGEST = 4096  # bytes; Ray's own have 64, and a head takes no header of more than 8 kB


class Token(NamedTuple):
    """The token that Ray finds on this machine; both are empty if there is none.

    - `value`: the token.
    - `where`: the variable or file that holds it.
    """

    value: str = ""
    where: str = ""


def token_is_sent(own: bool) -> bool:
    """Whether Ray sends one. `own`: to a cluster of this machine, for which Ray decides that itself
    unless the mode is set."""
    return asks_for_token() or (own and "RAY_AUTH_MODE" not in os.environ)


def found_token(sent: bool) -> Token:
    """The token, looked for where Ray looks. If it is to be `sent`, raises RunError for one that
    Ray cannot send, or if RAY_AUTH_TOKEN_PATH names a file without one: Ray would end this process.
    """
    value, path = (os.environ.get(name, "") for name in TOKEN_VARIABLES)
    if value:
        where = named = TOKEN_VARIABLES[0]
        value = value.strip()
    else:
        where = path or os.path.expanduser("~/.ray/auth_token")
        named = f"{TOKEN_VARIABLES[1]}={path}" if path else where
        value = _first_line(Path(where))
        if path and not value and sent:
            raise RunError(
                f"{named}: holds no token that can be read; write the cluster's token to that file "
                f"({GET_TOKEN}), name another file, or unset the variable"
            )
    if sent and not (value.isascii() and value.isprintable() and len(value) <= LONGEST):
        raise RunError(
            f"{named}: holds no token that can be sent, which is one line of ASCII letters and "
            f"digits; put the cluster's token there ({GET_TOKEN}), or delete what is there if no "
            "cluster asks for one"
        )
    return Token(value, where) if value else Token()


def _first_line(file: Path) -> str:
    """Ray reads no more; empty if it cannot be read. Reading a pipe would take the token away."""
    try:
        if not file.is_file():
            return ""
        with file.open("rb") as opened:
            return opened.readline(2 * LONGEST).decode("utf-8", "replace").strip()
    except (OSError, ValueError):
        return ""
