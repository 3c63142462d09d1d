"""The page of a run: small modules and one style sheet in `mtray/report/page/`. `mtray.serving`
serves them as they are; the static page is one file with them and its data. It makes no network
requests, and no text of a record can become markup or script."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

# The data is in a script element, which only `<` could end early; HTML and old JavaScript parsers
# treat the other two specially. All are legal JSON escapes.
_ESCAPES = {ord("<"): "\\u003c", ord(">"): "\\u003e", ord("&"): "\\u0026"} | {
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}
_IMPORT = re.compile(r'^import (?:[^;"]* from )?"\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:function|async function|const) (\w+))", re.MULTILINE)
LIVE, KEPT = "live.js", "kept.js"  # the modules that a page starts with
LIVE_HEAD = (
    '<link rel="stylesheet" href="/page/page.css"><script type="module" src="/page/live.js">'
    "</script>"
)


def page_files() -> dict[str, str]:
    """The text of every file of the page, by name."""
    folder = files("mtray.report").joinpath("page")
    return {f.name: f.read_text(encoding="utf-8") for f in folder.iterdir() if f.is_file()}


def live_files() -> dict[str, str]:
    """The files of a served page, by name; `index.html` is the page itself."""
    found = page_files()
    page = _filled(found["index.html"], TITLE="mtray", HEAD=LIVE_HEAD, FOOT="")
    return found | {"index.html": page}


def static_page(data: Mapping[str, Any], title: str) -> str:
    """A page that holds its `data`, as HTML text; opens from disk, works offline."""
    found = page_files()
    script, style = "\n" + joined(found, KEPT), "\n" + found["page.css"]
    policy = (
        f"default-src 'none'; img-src data:; script-src {_hash(script)}; style-src {_hash(style)}"
    )
    head = f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n<style>{style}</style>'
    text = json.dumps(data, ensure_ascii=False, allow_nan=False).translate(_ESCAPES)
    foot = (
        f'<script id="data" type="application/json">{text}</script>\n'
        f'<script type="module">{script}</script>'
    )
    return _filled(found["index.html"], TITLE=html.escape(title), HEAD=head, FOOT=foot)


def _filled(template: str, **parts: str) -> str:
    """The template with each `__NAME__` replaced once, whatever the parts contain."""
    return re.sub(r"__(TITLE|HEAD|FOOT)__", lambda found: parts[found[1]], template)


def joined(modules: Mapping[str, str], first: str) -> str:
    """A module and those that it imports as one, each after those that it imports and in a function
    of its own. No two of them may export the same name."""
    order: list[str] = []

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"{' imports '.join([*above, name])}: a circle")
        for other in _IMPORT.findall(modules[name]):
            if other not in order:
                add(other, (*above, name))
        order.append(name)

    add(first, ())
    return "".join(map(_wrapped, (modules[name] for name in order)))


def _wrapped(module: str) -> str:
    """A module's text as a function that returns what it exports."""
    names = ", ".join(_EXPORT.findall(module))
    body = _EXPORT.sub("", _IMPORT.sub("", module))
    return f"const {{ {names} }} = (() => {{\n{body}return {{ {names} }};\n}})();\n"


def _hash(text: str) -> str:
    """A source expression of a Content-Security-Policy that allows exactly this element."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
