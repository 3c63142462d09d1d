"""The text of a first study and its space: YAML with comments."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mtray.data.translation_prompts import CHAT
from mtray.first_study import fitting
from mtray.first_study.corpora import Corpus
from mtray.first_study.plan import Brought, Plan
from mtray.schema import HUB_PREFIX, NO_COMET

PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
# words that YAML reads as something else
WORDS = frozenset({"yes", "no", "on", "off", "true", "false", "null", "y", "n", "nan", "inf"})


def scalar(value: Any) -> str:
    """A value as YAML; text that could be read as something else is quoted."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{scalar(k)}: {scalar(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(scalar, value))}]"
    if isinstance(value, str):
        plain = PLAIN.fullmatch(value) and value.lower() not in WORDS
        return value if plain else json.dumps(value, ensure_ascii=False)
    return format(value, ".10g") if isinstance(value, float) else str(value)


def study_text(plan: Plan, folder: Path) -> str:
    """`folder`: of the file, to which paths below it are relative."""
    return "\n".join(_study_lines(plan, folder)) + "\n"


def _study_lines(plan: Plan, folder: Path) -> Iterator[str]:
    found, model = plan.brought, plan.brought.model
    template = CHAT if model.chats and not model.encodes else "labels"
    yield "# Written by `mtray init`: what is fixed; what varies is in the space file beside it."
    yield "# Every key: docs/reference/study.md. Paths are relative to this file."
    yield f"name: {scalar(found.name)}"
    yield f"model: {scalar(_model(found, folder))}    # {size_text(model.parameters)}"
    yield f"template: {template}    # the prompt of translations; {_why_template(template)}"
    yield "seed: 1"
    yield ""
    yield "sources:"
    for name, corpus in found.parallel.items():
        languages = list(found.languages)
        yield from _source(name, {"kind": "parallel", "languages": languages}, corpus, folder)
    for name, (language, corpus) in found.mono.items():
        yield from _source(name, {"kind": "mono", "languages": [language]}, corpus, folder)
    for name, corpus in found.replay.items():
        yield from _source(name, {"kind": "replay"}, corpus, folder)
    yield ""
    yield "filters: {leakage: drop}    # rows that are in an evaluation set are dropped and counted"
    yield ""
    yield from _evaluation(plan, folder)
    yield ""
    yield from _training(plan)


def _model(found: Brought, folder: Path) -> str:
    path = Path(found.model.name).expanduser()
    there = found.model.name != "embedded" and path.is_dir()
    return _relative(str(path.absolute()), folder) if there else found.model.name


def size_text(parameters: int) -> str:
    if parameters < 1e9:
        return f"{parameters / 1e6:.3g} million parameters"
    return f"{parameters / 1e9:.3g} billion parameters"


def _why_template(template: str) -> str:
    return "the model has a chat template" if template == CHAT else "others: alma, mfti, chat"


def _relative(path: str, folder: Path) -> str:
    found = Path(path)
    if path.startswith(HUB_PREFIX) or not found.is_relative_to(folder):
        return path
    return found.relative_to(folder).as_posix()


def _path(corpus: Corpus, folder: Path) -> Any:
    if isinstance(corpus.path, dict):
        return {code: _relative(path, folder) for code, path in corpus.path.items()}
    return _relative(corpus.path, folder)


def _source(name: str, keys: dict[str, Any], corpus: Corpus, folder: Path) -> Iterator[str]:
    held = {"name": name, **keys, "path": _path(corpus, folder)}
    held |= {"columns": corpus.columns} if corpus.columns else {}
    held |= {"split": corpus.split} if corpus.split else {}
    yield f"  - {scalar(held)}"


def _evaluation(plan: Plan, folder: Path) -> Iterator[str]:
    found, (a, b) = plan.brought, plan.brought.languages
    yield "evaluation:"
    if found.comet == NO_COMET:
        yield "  comet: none    # with a COMET model, such as Unbabel/wmt22-comet-da, quality is"
        yield "                 # measured: then write `quality: max` in the objectives below"
        yield "  metrics: [chrf, bleu]"
    else:
        yield f"  comet: {scalar(found.comet)}    # defines quality"
    yield f"  max_new_tokens: {plan.new_tokens}    # of an answer: 1.3 x the longest reference"
    quality = {"direction": plan.direction, **_measured(plan, folder)}
    yield "  quality:    # a larger size gives narrower intervals but takes longer"
    yield f"    - {scalar(quality)}"
    if not found.held_out:
        yield "    # add `test: {path: FILE}` for a held-out set that only `mtray test` uses"
    yield "  abilities:    # what should not be lost, see docs/evaluation.md"
    back = {"measure": "translation", "direction": f"{b}-{a}", **_measured(plan, folder)}
    yield f"    {scalar(f'translation.{b}-{a}')}: {scalar(back)}"
    if found.model.encodes:
        return
    for place, code in enumerate((a, b)):
        one = {"measure": "perplexity", "language": code, **_side(plan, place, folder)}
        yield f"    perplexity.{code}: {scalar(one)}"
    shots = next(iter(found.parallel.values()))
    asked = [found.test, *([found.held_out] if found.held_out else [])]
    if not shots.is_data_set and all(shots.columns == corpus.columns for corpus in asked):
        if not plan.shots:
            yield f"    # few_shot.{b}-{a}: an example more would not fit {found.model.name}'s"
            yield f"    # {found.model.positions} positions"
            return
        few = {"measure": "few_shot", "direction": f"{b}-{a}", "shots": plan.shots}
        few |= {"shots_path": _path(shots, folder), **_measured(plan, folder)}
        yield f"    few_shot.{b}-{a}: {scalar(few)}"


def _measured(plan: Plan, folder: Path) -> dict[str, Any]:
    """Path, columns and size of the test set, and the segments that are held out."""
    found = plan.brought
    keys: dict[str, Any] = {"path": _path(found.test, folder), "size": plan.segments}
    keys |= {"columns": found.test.columns} if found.test.columns else {}
    if found.held_out:
        own = {"path": _path(found.held_out, folder)}
        if found.held_out.columns != found.test.columns:
            own["columns"] = found.held_out.columns
        keys["test"] = own
    return keys


def _side(plan: Plan, place: int, folder: Path) -> dict[str, Any]:
    """The same for the text of one language."""
    found, code = plan.brought, plan.brought.languages[place]

    def of(corpus: Corpus) -> dict[str, Any]:
        path = _path(corpus, folder)
        if isinstance(path, dict):
            return {"path": path[code]}
        return {"path": path, "columns": {"text": corpus.columns.get(code, code)}}

    keys = {**of(found.test), "size": plan.segments}
    return keys | ({"test": of(found.held_out)} if found.held_out else {})


def _training(plan: Plan) -> Iterator[str]:
    fit = plan.fit
    yield "training:"
    yield "  epochs: 1"
    yield f"  batch_examples: {plan.batch}"
    yield f"  max_length: {plan.max_length}    # tokens; longer examples are dropped and counted"
    if fit.method != "full" or plan.brought.model.parameters > 1e9:
        yield "  gradient_checkpointing: true    # less memory, about a third slower"
    if fit.short_gb:
        yield f"  # about {fit.short_gb:.0f} GB more memory would be needed; see docs/howto/gpus.md"
    keys = {"workers": 1, "cpus_per_worker": fit.cpus_per_worker}
    keys |= {"gpus_per_worker": fit.gpus_per_worker} if fit.gpus_per_worker else {}
    yield f"resources: {scalar(keys)}    # per trial; as many trials run at once as fit"
    yield f"budget: {{trials: {20 if fit.gpus_per_worker else 14}}}    # baselines included"
    yield f"objectives: {scalar(plan.objectives)}"


def space_text(plan: Plan) -> str:
    return "\n".join(_space_lines(plan)) + "\n"


def _space_lines(plan: Plan) -> Iterator[str]:
    fit, model = plan.fit, plan.brought.model
    yield "# Written by `mtray init`: what is searched. Every parameter: docs/reference/space.md."
    yield f"# On this machine the largest recipe trains for roughly {_minutes(plan.minutes)}."
    low = max(8, int(fitting.rounded_down(plan.most_pairs / 32, 1)))
    yield f"parallel_size: {{type: int, low: {low}, high: {plan.most_pairs}, log: true}}    # pairs"
    if plan.most_mono:
        yield _range("mono_ratio", 0.0, plan.most_mono) + "    # monolingual examples per pair"
    if plan.most_replay:
        yield _range("replay_fraction", 0.0, plan.most_replay) + "    # share of all examples"
    yield f"method: {fit.method}    # full, lora or qlora; {_why_method(plan)}"
    if fit.method == "full":
        most = max(1, model.blocks * 3 // 4)
        yield f"frozen_layers: {{type: int, low: 0, high: {most}}}    # of {model.blocks} blocks"
    else:
        yield "lora_rank: {type: int, low: 4, high: 64, log: true}"
    rates = fitting.learning_rates(fit.method, model.parameters)
    lowest, highest, guess = (scalar(rate) for rate in rates)
    yield (
        f"learning_rate: {{type: float, low: {lowest}, high: {highest}, log: true, guess: {guess}}}"
    )


def _minutes(found: float) -> str:
    return "a minute or less" if found < 1.5 else f"{round(found)} minutes"


def _range(name: str, low: float, high: float) -> str:
    return f"{name}: {{type: float, low: {low:.1f}, high: {scalar(high)}}}"


def _why_method(plan: Plan) -> str:
    parameters = plan.brought.model.parameters
    if plan.fit.method == "full":
        return f"{fitting.FULL_BYTES * parameters / fitting.GB:.2g} GB of memory"
    large = parameters >= fitting.LARGE
    return "the usual choice for a model of this size" if large else "full needs more memory"
