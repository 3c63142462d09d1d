"""COMET segment scores (Rei et al. 2020): of mtray's own model, a checkpoint on disk, or one of the
hub. comet itself runs in a process of its own (`metric_process`), never in this one."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from mtray.analysis.uncertainty import Array
from mtray.data.readers.paragraphs import joined
from mtray.errors import EvaluationError, ModelError
from mtray.evaluation.metrics.long_texts import TRUNCATE, Triple, score_in_parts, ways_of
from mtray.evaluation.metrics.metric_process import Scoring, comet_scoring
from mtray.evaluation.metrics.quality import SegmentScores
from mtray.evaluation.metrics.worker.checkpoint import ALLOWED, is_hub_name
from mtray.evaluation.metrics.worker.protocol import VERSION, read_scores, read_truncated
from mtray.paths import COMET_MODEL

EMBEDDED_NAME = "mtray-comet-tiny"  # its scores are not comparable with wmt22-comet-da
REMEMBERED = 100_000  # triples; some 100 MB of text


class Scored(NamedTuple):
    """Scores of triples, and for each the letters of the texts that were cut (`worker.protocol`);
    None where the metric does not say."""

    scores: list[float]
    truncated: list[str] | None


class Model(Protocol):
    def score(self, triples: Sequence[Triple]) -> Scored: ...


@dataclass(frozen=True)
class ProcessModel:
    """A model that a process has loaded, or loads again after its end; `about` are the keys of the
    request that name it."""

    process: Scoring
    about: Mapping[str, str]

    def score(self, triples: Sequence[Triple]) -> Scored:
        found = self.process.score(self.about, triples)
        try:
            return Scored(
                read_scores(found.get("scores"), len(triples)),
                read_truncated(found.get("truncated"), len(triples)),
            )
        except ValueError as error:
            raise EvaluationError(f"{self.process.what}: its answer has {error}") from None


@dataclass(frozen=True)
class CometScorer:
    """A loaded model.

    signature: name, comet's version, weights' SHA-256 (first 12 digits), the score of an empty
        hypothesis and, for a model that uses source and hypothesis only (CometKiwi),
        `reference:none`.
    references: whether the model uses references.
    empty: the score of an empty hypothesis; None: the model scores it.
    max_length: the tokens of one text that it reads; None: unknown.
    long: how segments with a longer text are scored (`long_texts.FORMS`).
    device: where it runs, cpu or gpu.
    memory: up to `REMEMBERED` scores, cached for the life of the process: trials often give the
        same answers, and the base model's are scored with every trial.
    """

    model: Model
    signature: str
    references: bool = True
    empty: float | None = 0.0
    max_length: int | None = None
    long: str = TRUNCATE
    device: str = "cpu"
    memory: dict[Triple, tuple[float, str | None]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> Array:
        """The values of `segment_scores`."""
        return self.segment_scores(sources, hypotheses, references).values

    def segment_scores(
        self, sources: Sequence[str], hypotheses: Sequence[str], references: Sequence[str]
    ) -> SegmentScores:
        """Segment scores of the model, float64, shape (n,), in the order given; higher is better.

        Each text is scored on one line (`mtray.data.readers.paragraphs.joined`). Equal triples are
        scored once per process. An empty hypothesis never reaches COMET, which may score it highly:
        it gets `empty`, or the call's lowest score if that is lower still. The last digits of a
        score depend on the batch in which it was first computed, through its padding: masked
        positions change a float32 sum by rounding, about 1e-6. Raises EvaluationError for lists of
        unequal length and for scores that are not finite.
        """
        lengths = len(sources), len(hypotheses), len(references)
        if len(set(lengths)) != 1:
            raise EvaluationError(
                f"{self.signature}: {lengths[0]} sources, {lengths[1]} hypotheses and "
                f"{lengths[2]} references; expected equally many of each"
            )
        seen = references if self.references else [""] * len(references)
        triples = list(zip(sources, hypotheses, seen, strict=True))
        known = self._read([t for t in triples if self.empty is None or t[1].strip()])
        lowest = min([self.empty or 0.0, *(score for score, _ in known.values())])
        found = [known.get(t, (lowest, "")) for t in triples]
        if self.long == TRUNCATE:
            cut = [letters for _, letters in found if letters is not None]
            truncated = sum(map(bool, cut)) if len(cut) == len(found) else None
            return SegmentScores(np.array([score for score, _ in found]), truncated)
        return self._in_parts(triples, found, lowest)

    def _in_parts(
        self, triples: Sequence[Triple], found: Sequence[tuple[float, str | None]], lowest: float
    ) -> SegmentScores:
        """The scores, with those of segments that were cut replaced by those of their parts."""
        cut = {t: letters for t, (_, letters) in zip(triples, found, strict=True) if letters}
        parts = score_in_parts(cut, self._read, self.long, lowest)
        values, truncated = [], 0
        for triple, (whole, _) in zip(triples, found, strict=True):
            part = parts.get(triple)
            values.append(whole if part is None else part.value)
            truncated += triple in cut if part is None else part.truncated
        return SegmentScores(
            np.array(values), truncated, ways_of(parts.get(triple) for triple in triples)
        )

    def _read(self, triples: Sequence[Triple]) -> dict[Triple, tuple[float, str | None]]:
        """COMET's scores of triples, on one line each, and the letters of what it cut."""
        lines = {t: (joined(t[0]), joined(t[1]), joined(t[2])) for t in triples}
        asked = list(dict.fromkeys(lines.values()))
        known = {t: self.memory[t] for t in asked if t in self.memory}
        new = [t for t in asked if t not in known]
        fresh = dict(zip(new, self._predict(new), strict=True))
        self._remember(fresh)
        known |= fresh
        return {triple: known[line] for triple, line in lines.items()}

    def _remember(self, found: dict[Triple, tuple[float, str | None]]) -> None:
        if len(self.memory) + len(found) > REMEMBERED:
            self.memory.clear()
        if len(found) <= REMEMBERED:
            self.memory.update(found)

    def _predict(self, triples: list[Triple]) -> list[tuple[float, str | None]]:
        if not triples:
            return []
        found, truncated = self.model.score(triples)
        for triple, value in zip(triples, found, strict=True):
            if not np.isfinite(value):
                raise EvaluationError(f"{self.signature}: the score of {triple} is {value}")
        cut: Sequence[str | None] = truncated or [None] * len(found)
        return list(zip(found, cut, strict=True))

    def truncated(self, texts: Sequence[str]) -> int:
        """How many texts are longer than the model reads; 0 where that is unknown."""
        if self.max_length is None or not isinstance(self.model, ProcessModel):
            return 0
        return self.model.process.count(self.model.about, texts)


def load_comet(name: str, device: str = "cpu", long: str = TRUNCATE) -> CometScorer:
    """The metric called `name`, loaded once per process. `device` as `evaluation.comet_device`:
    auto uses a GPU if the process of the metric sees one, gpu requires one, cpu uses none. `long`
    as `evaluation.comet_long`.

    `embedded` is mtray-comet-tiny; otherwise a checkpoint file, a folder that holds
    checkpoints/*.ckpt beside hparams.yaml, or a hub name, downloaded by comet into the hub's cache.
    All are read by `comet.load_from_checkpoint`. A checkpoint is a pickle: torch reads it with
    `weights_only`, so one that holds more than tensors and plain values is refused, whatever its
    origin. To trust such a file, set TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1; it may then run any code.

    A `pretrained_model` in hparams.yaml that starts with "." is relative to that file's folder, so
    a checkpoint and its encoder can be moved together. Raises ModelError if it cannot be loaded.
    """
    if name == "embedded":
        return _load(str(COMET_MODEL), EMBEDDED_NAME, device, long)
    path = Path(name).expanduser()
    if path.exists():
        return _load(str(path.absolute()), "", device, long)
    if not is_hub_name(name):
        raise ModelError(f"comet: {name!r} is not a file, folder or hub name; {ALLOWED}")
    return _load(name, "", device, long)


def loader(device: str, long: str = TRUNCATE) -> Callable[[str], CometScorer]:
    """`load_comet` for `evaluation.comet_device` and `evaluation.comet_long`."""
    return functools.partial(load_comet, device=device, long=long)


@functools.cache
def _load(model: str, name: str, device: str, long: str) -> CometScorer:
    if long != TRUNCATE:  # the same model, and the same memory of scores
        scorer = _load(model, name, device, TRUNCATE)
        return replace(scorer, long=long, signature=f"{scorer.signature}|long:{long}")
    process = comet_scoring()
    return scorer_of(process, {"model": model, "name": name, "device": device})


def scorer_of(process: Scoring, about: Mapping[str, str], mark: str = "") -> CometScorer:
    """The scorer of a model that a process loads; `mark` is a part of its signature. Raises
    ModelError if it cannot be loaded, or answers in another form than the protocol's."""
    found = process.load(about)
    try:
        signature, empty = found["signature"], found.get("empty")
        length, references = found.get("max_length"), found.get("references", True)
        if not isinstance(signature, str) or not signature or not isinstance(references, bool):
            raise ValueError("`signature` (text) and `references` (true or false)")
        if empty is not None:
            [empty] = read_scores([empty], 1)
            signature += f"|empty:{empty:g}-or-min"
        if length is not None and (not isinstance(length, int) or length < 1):
            raise ValueError("`max_length` (a whole number)")
    except (KeyError, ValueError) as error:
        raise ModelError(
            f"{process.what}: its answer to `load` must have {error}; protocol version {VERSION}"
        ) from None
    signature += mark if references else f"{mark}|reference:none"
    device = str(found.get("device", "cpu"))
    return CometScorer(
        ProcessModel(process, about), signature, references, empty, length, device=device
    )
