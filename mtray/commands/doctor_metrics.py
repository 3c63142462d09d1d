"""Whether learned metrics can be computed here: the interpreter, its packages, and one score."""

from __future__ import annotations

from collections.abc import Iterable

from mtray.commands.finding import Finding
from mtray.errors import MtrayError
from mtray.metrics_python import COMET, metrics_python
from mtray.paths import COMET_MODEL

# of the embedded model, computed with COMET 2.2.7, torch 2.13 on a CPU
SEGMENT = ("I can't find my keys.", "No encuentro mis llaves.", "No encuentro mis llaves.")
SCORE, WITHIN = 0.9815610, 1e-4  # wider than what the kind of CPU changes


def metrics() -> Iterable[Finding]:
    """A study with `comet: none` needs none of this."""
    from mtray.evaluation.metrics.metric_process import comet_process

    try:
        python = metrics_python()
        about = {"model": str(COMET_MODEL), "name": "", "device": "cpu"}
        found = comet_process().score(about, [SEGMENT])["scores"][0]
    except MtrayError as error:
        yield Finding("MISSING", "metrics", str(error))
        return
    packages = ", ".join(
        f"{name} {python.versions[name]}"
        for name in (COMET, "transformers", "numpy", "protobuf")
        if name in python.versions
    )
    if abs(float(found) - SCORE) > WITHIN:
        text = f"{python.path} scores a known segment {found}, not {SCORE}: make setup"
        yield Finding("MISSING", "metrics", f"{text} ({packages})")
        return
    yield Finding("ok", "metrics", f"{python.path}: {packages}; a known segment scores {SCORE:.4f}")
