"""The front as one self-contained web page. It makes no network requests, and nothing in a record
can become markup or script."""

from __future__ import annotations

import html
import json
from importlib.resources import files
from typing import Any

# The data is in a script element, which only `<` could end early; HTML and old JavaScript parsers
# treat the other two specially. All are legal JSON escapes.
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}


def front_page(front: dict[str, Any]) -> str:
    """The page for `Front.model_dump(mode="json")`, as HTML text; opens from disk, works offline.

    A live page passes newer data to it by calling its `window.mtray.render(front)`.
    """
    template = files("mtray.report").joinpath("front.html").read_text(encoding="utf-8")
    data = json.dumps(front, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)
    head, rest = template.split("__TITLE__")
    middle, tail = rest.split("__DATA__")
    return f"{head}{html.escape(front['study'])}{middle}{data}{tail}"
