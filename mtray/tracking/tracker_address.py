"""Addresses of trackers as they may be shown and stored."""

from __future__ import annotations

import hashlib
import re

CREDENTIALS = re.compile(r"(?<=//)[^/\s@]*@")
# of a query, such as `?api_key=...`, which some databases take a password by
QUERY = re.compile(r"\?\S*")


def without_credentials(text: str) -> str:
    """The text with what stands before `@` in its addresses, and their queries, left out."""
    return QUERY.sub("", CREDENTIALS.sub("", text))


def place_name(tracker: str, place: str) -> str:
    """A name for a place in files of the run, which do not hold addresses."""
    return f"{tracker}-{hashlib.sha256(place.encode()).hexdigest()[:12]}"
