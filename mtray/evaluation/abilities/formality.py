"""Ability: translate in the requested register (CoCoA-MT, Nadejde et al. 2022).

Every sentence is requested twice, formal and informal, and an output is labelled by the
register-bearing phrases that it contains (`mtray.evaluation.metrics.cocoa_matching`, the normalised
form). For each register:

    guard = min(1, coverage / coverage of the references)
    guarded accuracy = accuracy * guard                      0 if nothing matches
    control = (2 * accuracy - 1) * guard                     the value; the mean over both registers

Why control and not guarded accuracy: a system that ignores the instruction has the mean accuracy
1/2 and the guarded accuracy guard / 2, which rises with its coverage, that is, with any gain in
translation quality. No constant is then a valid floor. With half the base model's guard, a tuned
model that lost its register but covers more phrases is above the floor; with 1/2, a base model of
coverage 0.6 can hardly exceed it. Control subtracts guard / 2 from each system itself (and is
doubled so that its maximum is 1): a system that ignores the instruction has 0 at every coverage,
one that avoids the phrases has 0, the references have 1. Unit: -1 to 1.

Without shots the prompt names the register. With `shots` it shows that many translations in the
register, and names it only if `instruction` is true. Both registers of a sentence have the same
shots, each in its own translation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from mtray.analysis.uncertainty import Array, Measurement
from mtray.data.benchmarks.cocoa_mt import (
    REGISTERS,
    Contrast,
    is_table,
    note_lone_tags,
    phrases,
    read_domains,
)
from mtray.data.evaluation_texts import shot_places
from mtray.data.languages import WITHOUT_SPACES
from mtray.data.stratified_sample import Strata
from mtray.data.translation_prompts import PromptBuilder
from mtray.errors import ConfigError, DataError
from mtray.evaluation.abilities.base import (
    Context,
    Tools,
    check_outputs,
    evenly,
    languages_of,
    options_of,
    read_rows,
    sampled,
    strata_of,
)
from mtray.evaluation.abilities.few_shot import choose_shots
from mtray.evaluation.inference.requests import Output, Request
from mtray.evaluation.metrics.cocoa_matching import (
    FORMS,
    LABELS,
    control,
    control_floor,
    guarded_accuracy,
    label_counts,
    register_values,
)
from mtray.schema import AbilitySpec, Direction, Frozen


@dataclass(frozen=True)
class Formality:
    """Two requests for each sentence, formal first. `expected` holds the phrases of both registers
    by sentence, `references` the texts."""

    name: str
    requests: list[Request]
    expected: list[tuple[list[str], list[str]]]
    references: list[tuple[str, str]]
    language: str
    floor: float
    prompting: str = ""  # the signature's part on shots; empty for the zero-shot prompt

    def labels(self, texts: Sequence[str], form: str) -> list[str]:
        """Labels of texts in the order of the requests."""
        label, segmented = FORMS[form], self.language not in WITHOUT_SPACES
        return [label(t, *self.expected[i // 2], segmented) for i, t in enumerate(texts)]

    def reference_labels(self, form: str) -> list[str]:
        return self.labels([text for pair in self.references for text in pair], form)

    def _statistics(self, outputs: Sequence[Output]) -> Array:
        """One row for each sentence, so that a resample keeps its two registers together."""
        check_outputs(self.name, self.requests, outputs)
        labels = np.array(self.labels([o.text for o in outputs], "normalised")).reshape(-1, 2)
        references = np.array(self.reference_labels("normalised")).reshape(-1, 2)
        columns: list[Any] = []
        for side, (wanted, other) in enumerate([LABELS[:2], LABELS[1::-1]]):
            columns += [labels[:, side] == wanted, labels[:, side] == other]
            columns.append(np.isin(references[:, side], LABELS[:2]))
        return np.asarray(np.stack(columns, axis=1), dtype=np.float64)

    def _signature(self, value: str) -> str:
        return (
            f"{value}|lang:{self.language}|match:normalised|guard:references|registers:2"
            f"{self.prompting}"
        )

    def measure(self, outputs: Sequence[Output], tools: Tools) -> Measurement:
        signature = self._signature("register-control")
        return Measurement(self._statistics(outputs), control, signature, bounds=(-1.0, 1.0))

    def extras(self, outputs: Sequence[Output], tools: Tools) -> dict[str, Measurement]:
        """`guarded_accuracy` over both registers, and `<form>.<requested register>.<value>`."""
        signature = self._signature("guarded-M-Acc")
        stats = self._statistics(outputs)
        found = {
            "guarded_accuracy": Measurement(stats, guarded_accuracy, signature, bounds=(0.0, 1.0))
        }
        texts = [o.text for o in outputs]
        for form in FORMS:
            labels, references = self.labels(texts, form), self.reference_labels(form)
            signature = f"lang:{self.language}|match:{form}{self.prompting}"
            for side, register in enumerate(REGISTERS):
                values = register_values(labels[side::2], references[side::2], register, signature)
                del values["reference_coverage"]  # the same for every model; stored in the counts
                found |= {f"{form}.{register}.{name}": m for name, m in values.items()}
        return found

    def counts(self, outputs: Sequence[Output]) -> dict[str, float]:
        """`<form>.<requested register>.<label>` of the outputs, and the same with the prefix
        `references.` of the references."""
        texts = [o.text for o in outputs]
        found: dict[str, float] = {"sentences": float(len(self.expected))}
        for form in FORMS:
            tables = {"": self.labels(texts, form), "references.": self.reference_labels(form)}
            for prefix, labels in tables.items():
                for side, register in enumerate(REGISTERS):
                    tally = label_counts(labels[side::2])
                    found |= {f"{prefix}{form}.{register}.{k}": n for k, n in tally.items()}
        return found

    def texts(self) -> list[tuple[str, ...]]:
        return list(self.references)

    def part(self, share: float) -> Formality:
        keep = evenly(len(self.expected), share)
        return replace(
            self, requests=[self.requests[2 * i + side] for i in keep for side in (0, 1)],
            expected=[self.expected[i] for i in keep],
            references=[self.references[i] for i in keep],
        )  # fmt: skip


class Options(Frozen):
    direction: Direction
    domain: str | tuple[str, ...] = ()
    shots: Annotated[int, Field(ge=0, le=50)] = 0
    shots_path: str | dict[str, str] | None = None
    instruction: bool | None = None


def _checked(name: str, spec: AbilitySpec) -> Options:
    """The options; raises ConfigError for a combination that does not fit together."""
    options, where = options_of(name, spec, Options), f"ability {name!r}: measure {spec.measure}"
    if bool(options.shots) != bool(options.shots_path):
        raise ConfigError(f"{where}: `shots` above 0 and `shots_path` must be given together")
    if not options.shots and options.instruction is False:
        raise ConfigError(f"{where}: without `shots`, `instruction` cannot be false")
    if is_table(spec.path) and options.domain:
        raise ConfigError(f"{where}: `domain` is for CoCoA-MT's folders; {spec.path} is a table")
    if spec.columns and not (is_table(spec.path) or is_table(options.shots_path or "")):
        raise ConfigError(f"{where}: `columns` is for tables, and {spec.path} is not one")
    return options


def _contrasts(
    spec: AbilitySpec, path: str | dict[str, str], options: Options, domains: Sequence[str] = ()
) -> tuple[list[Contrast], Strata]:
    """All sentences of a table, a folder or a stem, and the strata of a sample."""
    source, target = languages_of(options.direction)
    if not is_table(path):
        found = read_domains(Path(str(path)), source, target, domains)
        labels = [domain for domain, rows in found.items() for _ in rows]
        return [row for rows in found.values() for row in rows], [labels]
    roles = [source, *Contrast._fields[1:]]
    rows = read_rows(spec, roles, path)
    for role in roles[3:]:
        note_lone_tags([row[role] for row in rows], f"{path}: column {role}", "row")
    return [Contrast(*(row[role] for role in roles)) for row in rows], strata_of(rows)


def _prompts(
    rows: Sequence[Contrast], pool: Sequence[Contrast], options: Options, asking: PromptBuilder
) -> list[str]:
    """The formal and the informal prompt of every sentence."""
    source, target = languages_of(options.direction)
    named = not options.shots if options.instruction is None else options.instruction

    prompts = []
    for row in rows:
        shots = choose_shots(row, pool, options.shots) if options.shots else []
        for register in REGISTERS:
            shown = [(asking.asked(s.source), asking.asked(getattr(s, register))) for s in shots]
            name = register if named else None
            prompts.append(
                asking.translation(asking.asked(row.source), source, target, name, shown)
            )
    return prompts


def build(spec: AbilitySpec, context: Context) -> Formality:
    """Options: `direction`, `domain` (one or several of a folder), `shots`, `shots_path` (of
    the train set, with the layout of `path`), `instruction` (name the register in the prompt;
    by default only without shots). Columns of a table: the source language's, `formal`,
    `informal`, `formal_annotated`, `informal_annotated`. The sample is stratified by the
    domains of a folder."""
    options = _checked(context.name, spec)
    domains = (options.domain,) if isinstance(options.domain, str) else options.domain
    rows = sampled(spec, context, *_contrasts(spec, spec.path, options, domains))
    pool = []
    if options.shots_path is not None:
        read, _ = _contrasts(spec, options.shots_path, options)
        places = shot_places(len(read), spec.take, context.sample_seed)
        # a pair that is equal in both registers demonstrates neither
        pool = [read[i] for i in places if read[i].formal != read[i].informal]
    prompts = _prompts(rows, pool, options, context.prompt_builder)
    sources = [context.prompt_builder.asked(row.source) for row in rows for _ in REGISTERS]
    requests = list(map(context.translation_request, prompts, sources))
    expected = [(phrases(r.formal_annotated), phrases(r.informal_annotated)) for r in rows]
    references = [(row.formal, row.informal) for row in rows]
    target = languages_of(options.direction)[1]
    prompting = f"|shots:{options.shots}" if options.shots else ""
    ability = Formality(
        context.name, requests, expected, references, target, floor=0.0, prompting=prompting
    )
    labels = ability.reference_labels("normalised")
    covered = [sum(label in LABELS[:2] for label in labels[side::2]) for side in (0, 1)]
    if not all(covered):
        register = REGISTERS[covered.index(0)]
        raise DataError(
            f"{spec.path}: no {register} reference contains [F]...[/F] phrases of its own; "
            "nothing can be measured"
        )
    return replace(ability, floor=control_floor(*covered))
