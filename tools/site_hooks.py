"""What mkdocs.yml adds to the site: README, CONTRIBUTING and CHANGELOG as pages, links that lead
out of docs/, and mermaid from the package `mermaidx` instead of from another host.

Pages keep links that work in the repository as it is; here they are turned into what works on the
site. Raises mkdocs' BuildError for a link to a file that is not there, and for a diagram that
mermaid cannot draw (a page would show its text instead, without a word).
"""

from __future__ import annotations

import posixpath
import re
from functools import lru_cache
from importlib.resources import files as resources
from pathlib import Path
from typing import Any

import mermaidx
from mkdocs.exceptions import BuildError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# files of the repository's root -> pages of the site
ROOT_PAGES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}
MERMAID = "assets/mermaid.js"
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s#]*)(#[^)\s]*)?\)")
FENCE = re.compile(r"(```.*?```)", re.DOTALL)


def on_files(files: Files, config: Any) -> Files:
    for name, page in ROOT_PAGES.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=text))
    script = (resources("mermaidx") / "assets" / "mermaid.js").read_bytes()
    files.append(File.generated(config, MERMAID, content=script))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Links as the site needs them; what stands in code fences is left alone."""
    here = page.file.src_uri
    places = {uri: name for name, uri in ROOT_PAGES.items()}
    source = places.get(here, f"docs/{here}")  # where the page lies in the repository

    def on_site(found: re.Match[str]) -> str:
        picture, text, target, anchor = found[1], found[2], found[3], found[4] or ""
        if not target or "://" in target:
            return found[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        if not (ROOT / path).exists():
            raise BuildError(f"{source}: link to {target}, which is not there")
        if path in ROOT_PAGES:
            uri = ROOT_PAGES[path]
        elif path.startswith("docs/"):
            uri = path.removeprefix("docs/")
        else:  # a file of the repository that is no page
            return f"{text} (`{path}`)"
        return (
            f"{picture}[{text}]({posixpath.relpath(uri, posixpath.dirname(here) or '.')}{anchor})"
        )

    parts = FENCE.split(markdown)
    for part in parts:
        if part.startswith("```mermaid\n"):
            check_diagram(source, part.removeprefix("```mermaid\n").removesuffix("```"))
    return "".join(p if p.startswith("```") else LINK.sub(on_site, p) for p in parts)


@lru_cache
def check_diagram(page: str, text: str) -> None:
    """Some seconds for each: it is drawn. Raises BuildError."""
    try:
        mermaidx.render(text).svg()
    except RuntimeError as error:
        raise BuildError(f"{page}: a diagram cannot be drawn: {error}") from error
