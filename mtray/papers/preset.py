"""A preset: one paper's experiments at several scales, from `sweeps/papers/ID/preset.yaml`.

Its runs are studies (`sweeps/papers/ID/RUN.yaml`) with spaces (`search_spaces/papers/ID/RUN.yaml`)
that contain names such as `$sizes` in the places where scales differ. `values` has what each name
stands for at each scale, and nothing else differs between scales (`mtray.papers.composition`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import Field, ValidationError, model_validator

from mtray.errors import ConfigError
from mtray.paths import shipped
from mtray.schema import NAME_PATTERN, Frozen
from mtray.study import explain
from mtray.yaml_files import read_yaml

STUDIES = shipped("sweeps") / "papers"
SPACES = shipped("search_spaces") / "papers"
PRESET = "preset.yaml"
Scale = Literal["tiny", "small", "full"]
SCALES: tuple[Scale, ...] = get_args(Scale)
RunName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]


class PresetRun(Frozen):
    """One run of a preset.

    - `about`: the question that it answers.
    - `scales`: the scales that have it.
    """

    about: str
    scales: tuple[Scale, ...] = SCALES


class Need(Frozen):
    """Data that a preset reads.

    - `what`: its content.
    - `source`: where it comes from.
    - `licence`: under which it is published.
    - `scales`: the scales that read it.
    - `files`: below the folder of `--data`; none for what the set-up fetches.
    """

    what: str
    source: str
    licence: str
    scales: tuple[Scale, ...] = SCALES
    files: tuple[str, ...] = ()

    def missing(self, data: Path | None) -> tuple[str, ...]:
        """The files that the user's folder lacks."""
        return tuple(f for f in self.files if data is None or not (data / f).exists())


class Preset(Frozen):
    """A paper's experiments.

    - `paper`: its arXiv identifier, or another name; that of the folder.
    - `scales`: in words, what each scale takes.
    - `runs`: by name, in the order in which they run.
    - `values`: by name and scale, what the name stands for in the runs' files.
    - `setup`: by row, the paper's set-up (`paper`) and what each scale has instead.
    - `needs`: data.
    """

    paper: Annotated[str, Field(pattern=NAME_PATTERN)]
    title: str
    scales: dict[Scale, str]
    runs: dict[RunName, PresetRun]
    values: dict[RunName, dict[Scale, Any]]
    setup: dict[str, dict[Literal["paper"] | Scale, str]]
    needs: dict[str, Need] = {}  # noqa: RUF012  (pydantic copies defaults)

    @model_validator(mode="after")
    def _every_scale_has_all(self) -> Preset:
        tables = {f"values.{name}": found for name, found in self.values.items()}
        for key, found in {**tables, "scales": self.scales}.items():
            if absent := [scale for scale in SCALES if scale not in found]:
                raise ValueError(f"`{key}` has no {absent[0]}")
        for row, sides in self.setup.items():
            if lacking := sorted({"paper", *SCALES} - {*sides}):
                raise ValueError(f"`setup.{row}` has no {lacking[0]}")
        return self

    def runs_at(self, scale: Scale) -> list[str]:
        return [name for name, run in self.runs.items() if scale in run.scales]

    def needs_at(self, scale: Scale) -> dict[str, Need]:
        return {name: need for name, need in self.needs.items() if scale in need.scales}

    def run_name(self, scale: Scale, run: str) -> str:
        """The name of the run's folder under --runs-dir."""
        return f"{self.paper}-{scale}-{run}"


def preset_ids() -> list[str]:
    return sorted(path.parent.name for path in STUDIES.glob(f"*/{PRESET}"))


def load_preset(paper: str) -> Preset:
    """Raises ConfigError for a paper without a preset, and for a mistake in its file."""
    if paper not in preset_ids():
        raise ConfigError(
            f"paper {paper}: there is no preset; there are {', '.join(preset_ids())} "
            "(`python -m mtray paper` lists them)"
        )
    path = STUDIES / paper / PRESET
    try:
        return Preset.model_validate(read_yaml(path))
    except ValidationError as error:
        raise explain(error, path, Preset) from None
