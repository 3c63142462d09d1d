"""The rendering parameters of recipes that set none: the study's own values, if it has one."""

from __future__ import annotations

from typing import Any

from mtray.schema.study import Study


def rendering_of_study(study: Study) -> dict[str, Any]:
    """The study's values of the rendering parameters, which recipes may override; None if its
    sources differ, or have no such value. A study without noise has a `noise_rate` of 0."""
    pairs = [source for source in study.sources if source.kind == "parallel"]
    noises = [source.own_noise for source in pairs if source.noises]
    kinds = {(noise.side, noise.level) for noise in noises if noise and noise.rate}
    side, level = next(iter(kinds)) if len(kinds) == 1 else (None, None)
    rates = {noise.rate if noise else 0.0 for noise in noises} or {0.0}
    shots = {source.shots for source in pairs}
    least, most = next(iter(shots)) if len(shots) == 1 else (0, 1)
    return {
        "template": study.template,
        "noise_rate": next(iter(rates)) if len(rates) == 1 else None,
        "noise_side": side,
        "noise_level": level,
        "shots": least if least == most else None,
    }
