"""What a reviewer asks for, in sentences, from the records of a run alone. What they do not hold is
called missing."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtray.lineage import lineage_of
from mtray.publication.document import MISSING
from mtray.report.front import Front
from mtray.report.groups import complete_trials
from mtray.report.model_card import training_sentence
from mtray.run_files import BASE_NUMBER, STARTS_FILE
from mtray.runtime import CODE
from mtray.schema import Study, TrialRecord
from mtray.search_space.parameters import shown
from mtray.search_space.space import Space


@dataclass(frozen=True)
class Subject:
    """A run: what was asked of it, what it measured, and its starts (`starts.jsonl`)."""

    study: Study
    space: Space
    records: tuple[TrialRecord, ...]
    front: Front
    starts: tuple[dict[str, Any], ...]

    @property
    def trained(self) -> list[TrialRecord]:
        """Complete trials with a training of their own."""
        complete = complete_trials(self.records)
        return [r for r in complete if r.number != BASE_NUMBER and r.trained_as is None]


def read_starts(run_dir: Path) -> tuple[dict[str, Any], ...]:
    """The lines that can be read; none without the file."""
    found = []
    try:
        lines = (run_dir / STARTS_FILE).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return ()
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        found += [entry] if isinstance(entry, dict) else []
    return tuple(found)


def methods(found: Subject) -> list[str]:
    """The paragraphs of a section on methods."""
    return [
        " ".join(filter(None, sentences))
        for sentences in (
            [model_sentence(found), method_sentence(found), training_sentence(found.study.training),
             precision_sentence(found)],
            [data_sentence(found), evaluation_sentence(found)],
            search_sentences(found),
            [interval_sentence(found), *seed_sentences(found)],
            [hardware_sentence(found), cost_sentence(found), version_sentence(found)],
        )
    ]  # fmt: skip


def model_sentence(found: Subject) -> str:
    origin = lineage_of(found.study.model)
    name = found.study.model if origin is None else f"{origin.first} ({origin.text})"
    sizes = {r.training.total_parameters for r in found.trained if r.training}
    size = f"{max(sizes):,} parameters" if sizes else f"number of parameters {MISSING}"
    return f"The base model is {name} ({size})."


def method_sentence(found: Subject) -> str:
    counts = Counter(record.recipe.method for record in found.trained)
    if not counts:
        return ""
    names = {"full": "full fine-tuning", "lora": "LoRA", "qlora": "QLoRA"}
    each = [f"{names[method]} ({n} trainings)" for method, n in sorted(counts.items())]
    most = [r.training.trainable_parameters for r in found.trained if r.training]
    return (
        f"Models were trained by {' and '.join(each)}, with {_range(most, ',')} trainable "
        "parameters."
    )


def precision_sentence(found: Subject) -> str:
    kinds = sorted({r.training.precision for r in found.trained if r.training})
    return f"Training precision: {', '.join(kinds) or MISSING}."


def data_sentence(found: Subject) -> str:
    held = source_sizes(found.records)
    each = [
        f"{source.name} ({source.kind}, {'-'.join(source.languages) or 'no language'}, "
        f"{_examples(held.get(source.name))})"
        for source in found.study.sources
    ]
    return f"Training examples were drawn from {'; '.join(each)}."


def _examples(count: int | None) -> str:
    return f"size {MISSING}" if count is None else f"{count:,} examples"


def source_sizes(records: Iterable[TrialRecord]) -> dict[str, int]:
    """The most examples that a trial could draw from each source."""
    sizes: dict[str, int] = {}
    for record in records:
        for share in record.mix.shares:
            sizes[share.source] = max(sizes.get(share.source, 0), share.available)
    return sizes


def evaluation_sentence(found: Subject) -> str:
    wanted = found.study.evaluation
    sets = [f"{q.direction} ({q.size:,} asked for)" for q in wanted.quality]
    decoding = "greedy decoding" if wanted.beams == 1 else f"beam search with {wanted.beams} beams"
    return (
        f"Every trial was evaluated on {', '.join(sets)} and on {len(wanted.abilities)} abilities, "
        f"with {decoding} and at most {wanted.max_new_tokens} new tokens; the numbers of segments "
        "that were measured are in the table of measures."
    )


def search_sentences(found: Subject) -> list[str]:
    study, space = found.study, found.space
    states = Counter(r.state for r in found.records if r.number != BASE_NUMBER)
    ended = ", ".join(f"{n} {state}" for state, n in sorted(states.items())) or "none"
    roles = sorted({r.role for r in found.trained if r.role != "search"})
    searched = "; ".join(f"{name} {p.text()}" for name, p in space.parameters.items())
    fixed = "; ".join(f"{name} {shown(value)}" for name, value in space.fixed.items())
    return [
        f"The search had a budget of {study.budget.trials} trials and the sampler "
        f"{_sampler(study.sampler)} with the objectives "
        f"{', '.join(f'{name} ({sense})' for name, sense in study.objectives.items())}.",
        f"Trials that ended: {ended}; {found.front.searched} different recipes were searched.",
        f"Searched: {searched}.",
        f"Fixed: {fixed}." if fixed else "",
        f"Baselines: {', '.join(roles)}." if roles else "No baseline is complete.",
        f"Trials were stopped early after {_shares(study)} of their steps if clearly worse."
        if study.early_stopping else "No trial was pruned.",
        f"Stopped by the user: {states['stopped']}." if states["stopped"] else "",
    ]  # fmt: skip


def _sampler(name: str) -> str:
    """`auto` is mtray's own (docs/search.md)."""
    return (
        "'auto' (expected hypervolume improvement under Gaussian processes)"
        if name == "auto"
        else f"'{name}'"
    )


def _shares(study: Study) -> str:
    rule = study.early_stopping
    return ", ".join(f"{share:.0%}" for share in rule.rungs) if rule else ""


def interval_sentence(found: Subject) -> str:
    draws = found.study.evaluation.bootstrap
    paired = (
        "Differences are paired: both models get the same weights on the same units."
        if found.front.paired
        else "Differences treat the two scores as independent, since draws were not recorded."
    )
    return (
        f"Intervals are 95 % percentile intervals of {draws:,} draws of the Bayesian bootstrap "
        "(Rubin, 1981) over independent units: segments that share a text or a document are one "
        "unit. Shares have Wilson's interval with the effective sample size. " + paired
    )


def seed_sentences(found: Subject) -> list[str]:
    seeds = sorted({record.seed for record in found.trained})
    recipes = [p for p in found.front.points if p.role != "base"]
    repeated = [p for p in recipes if p.replicates > 1]
    lines = [
        f"The study's seed is {found.study.seed}; trainings used the seeds "
        f"{', '.join(map(str, seeds)) or MISSING}.",
        f"{len(repeated)} of {len(recipes)} recipes were trained with "
        f"{_range([p.replicates for p in repeated])} seeds each." if repeated
        else "No recipe was trained with more than one seed.",
    ]  # fmt: skip
    deviations = [o for o in found.front.objectives if o.seed_deviation is not None]
    each = [f"{o.name} {o.seed_deviation:.3g}" for o in deviations]
    lines += [f"Standard deviation over seeds: {', '.join(each)}."] if each else []
    return lines


def hardware_sentence(found: Subject) -> str:
    machines = dict.fromkeys(str(s["machine"]) for s in found.starts if s.get("machine"))
    wanted = found.study.resources
    each = f"{wanted.workers} x ({wanted.cpus_per_worker:g} CPU, {wanted.gpus_per_worker:g} GPU)"
    return f"Hardware: {'; '.join(machines) or MISSING}. A trial used {each}."


def cost_sentence(found: Subject) -> str:
    hours = sum(record.total_seconds for record in found.records) / 3600
    devices = found.study.resources.devices
    unit = "GPU" if found.study.resources.gpus_per_worker else "CPU"
    starts = [s["seconds"] for s in found.starts if isinstance(s.get("seconds"), int | float)]
    clock = f"{sum(starts) / 3600:.3g} hours" if starts else MISSING
    return (
        f"All trials together ran for {hours:.3g} hours, that is {hours * devices:.3g} {unit} "
        f"hours, evaluation included; wall-clock time of the sweep: {clock}."
    )


def version_sentence(found: Subject) -> str:
    shown_versions = {n: v for n, v in found.front.versions.items() if n != CODE}
    each = ", ".join(f"{name} {version}" for name, version in shown_versions.items())
    code = found.front.versions.get(CODE)
    return f"Versions: {each or MISSING}" + (f"; hash of the code {code}." if code else ".")


def _range(values: Sequence[int], form: str = "") -> str:
    if not values:
        return MISSING
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"
