"""Runs tasks of EleutherAI's LM evaluation harness on mtray's own engine.

The harness builds a task's prompts and scores the answers. In between, its requests become requests
of the engine, so that a model in training is evaluated without the harness loading anything.
Differences from the harness's own models: decoding is greedy, and an answer's leading and trailing
white space is stripped; a log-likelihood is that of a target after one space, as the harness's
tasks are written (others are refused). Few-shot examples are drawn with the harness's own seed.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from mtray.data.stratified_sample import sample_indices
from mtray.errors import ConfigError, DataError
from mtray.evaluation.inference.requests import Output, Request
from mtray.schema import Take

FEWSHOT_SEED = 1234  # the harness's default
INSTALL = 'pip install "mtray[lm-eval]"'


@dataclass(frozen=True)
class TaskSpec:
    """Which documents of which task to evaluate.

    task: a task or group by name.
    folder: definitions that take precedence over the harness's own, or empty.
    size: maximum number of documents of each task.
    shots: examples in the prompt; None: as the task defines.
    take, seed: which documents (`mtray.data.stratified_sample`).
    """

    task: str
    folder: str
    size: int
    shots: int | None
    take: Take = "sample"
    seed: int = 0


@lru_cache(maxsize=8)
def _manager(folder: str) -> Any:
    """A task manager of a folder's tasks, or of the harness's own, whose thousands of files take a
    while to index."""
    try:
        from lm_eval.tasks import TaskManager
    except ImportError:
        raise ConfigError(f"measure lm_eval needs the package lm-eval: {INSTALL}") from None
    return TaskManager(include_path=folder or None, include_defaults=not folder)


def _names(folder: str) -> list[str]:
    own: list[str] = _manager(folder).all_tasks if folder else []
    return [*own, *_manager("").all_tasks]


@lru_cache(maxsize=16)
def loaded(wanted: TaskSpec) -> list[Any]:
    """The harness's tasks with all their requests (`instances`); a group is replaced by its tasks.
    Raises ConfigError for an unknown task or if the harness is not installed, DataError if its data
    is not available."""
    manager = _manager(wanted.folder)
    if wanted.folder and wanted.task not in manager.all_tasks:
        manager = _manager("")
    if wanted.task not in manager.all_tasks:
        near = ", ".join(difflib.get_close_matches(wanted.task, _names(wanted.folder), 5, 0.5))
        raise ConfigError(
            f"measure lm_eval: unknown `task` {wanted.task!r}"
            f"{f'; near it: {near}' if near else ''} (`lm_eval ls tasks` lists the harness's own)"
        )
    try:
        tasks = list(manager.load([wanted.task])["tasks"].values())
        for task in tasks:
            _ask(task, wanted)
    except ConfigError:
        raise
    # a task's data set, its template or its own code may raise anything
    except Exception as error:
        raise DataError(
            f"measure lm_eval: task {wanted.task} cannot be loaded: {type(error).__name__}: {error}"
        ) from error
    return tasks


def _ask(task: Any, wanted: TaskSpec) -> None:
    """Build the task's requests."""
    name = task.config.task
    if getattr(task, "UNSAFE_CODE", False) or getattr(task, "MULTIMODAL", False):
        raise ConfigError(f"measure lm_eval: {name} runs code or needs images; it is not supported")
    if task.OUTPUT_TYPE not in ("multiple_choice", "generate_until"):
        raise ConfigError(
            f"measure lm_eval: {name} is of type {task.OUTPUT_TYPE}; supported: multiple_choice, "
            "generate_until (measure `perplexity` scores whole texts)"
        )
    if wanted.shots is not None:
        task.set_config(key="num_fewshot", value=wanted.shots)
    elif task.get_config("num_fewshot") is None:
        task.set_config(key="num_fewshot", value=0)
    task.set_fewshot_seed(seed=FEWSHOT_SEED)
    places = sample_indices(len(task.eval_docs), wanted.size, wanted.take, wanted.seed)
    task.build_all_requests(samples=places, rank=0, world_size=1)


def request_of(instance: Any, max_new_tokens: int) -> Request:
    """One of the harness's requests as one of the engine. Raises ConfigError for what the engine
    does not support."""
    name = instance.task_name
    if instance.request_type == "loglikelihood":
        context, continuation = instance.args
        if not continuation.startswith(" ") and context.endswith(" "):
            context, continuation = context[:-1], f" {continuation}"
        if not continuation.startswith(" ") or not continuation.strip():
            raise ConfigError(
                f"measure lm_eval: {name} scores {continuation!r} after {context[-20:]!r}; only "
                "what follows one space can be scored"
            )
        return Request(context, continuation[1:], 1)
    context, options = instance.args
    if options.get("do_sample") and options.get("temperature", 1.0):
        raise ConfigError(f"measure lm_eval: {name} samples its answers; decoding is greedy here")
    limit = int(options.get("max_gen_toks", max_new_tokens))
    one_line = "\n" in stops_of(options)
    return Request(context, None, limit, one_line, may_begin_empty=one_line)


def stops_of(options: dict[str, Any]) -> list[str]:
    """The texts that end an answer."""
    until = options.get("until") or []
    return [until] if isinstance(until, str) else list(until)


def response_of(instance: Any, output: Output) -> Any:
    """An output in the harness's form: the answer up to the first of its stops, or a
    log-likelihood. Whether a target is the greedy answer is not known; `mean_metrics` excludes
    metrics that need it."""
    if instance.request_type == "loglikelihood":
        return output.log_likelihood, False
    text = output.text
    for stop in filter(None, stops_of(instance.args[1])):
        text = text.split(stop, 1)[0]
    return text


Document = tuple[Any, list[Any]]  # a task and the instances of one of its documents


def documents(tasks: Sequence[Any]) -> list[Document]:
    """The documents of all tasks, in order."""
    found: list[Document] = []
    for task in tasks:
        by_doc: dict[int, list[Any]] = {}
        for instance in task.instances:
            by_doc.setdefault(instance.doc_id, []).append(instance)
        found += [(task, sorted(same, key=lambda i: i.idx)) for same in by_doc.values()]
    return found


def judged(
    chosen: Sequence[Document], outputs: Sequence[Output], filter_name: str
) -> list[dict[str, Any]]:
    """The harness's metrics of every document; `outputs` are those of the documents' instances, in
    order."""
    rest = iter(outputs)
    by_task: dict[int, tuple[Any, list[Any]]] = {}
    for task, instances in chosen:
        for instance in instances:
            # a task may want several samples of an answer; with greedy decoding all are equal
            response = response_of(instance, next(rest))
            instance.resps = [response] * (instance.repeats or 1)
            instance.filtered_resps = {}
        by_task.setdefault(id(task), (task, []))[1].extend(instances)
    for task, instances in by_task.values():
        for ensemble in _ensembles(task):
            ensemble.apply(instances)
    found = []
    for task, instances in chosen:
        answers = [instance.filtered_resps[filter_name] for instance in instances]
        found.append(task.process_results(instances[0].doc, answers))
    return found


def mean_metrics(task: Any) -> list[str]:
    """The metrics of a task that are means over documents and for which higher is better."""
    better = task.higher_is_better()
    # it needs to know whether an answer is the greedy one
    barred = {"exact_match"} if task.OUTPUT_TYPE == "multiple_choice" else set()
    return [
        metric
        for metric, function in task.aggregation().items()
        if getattr(function, "__name__", "") == "mean" and better.get(metric, True)
        if metric not in barred
    ]


def filters(task: Any) -> list[str]:
    """Names of the task's filters, which process answers before scoring; the first is the
    default."""
    return [listed["name"] for listed in _listed(task)]


def _listed(task: Any) -> list[dict[str, Any]]:
    """The task's filters as defined; the harness's default if it has none."""
    default = [{"name": "none", "filter": [{"function": "take_first"}]}]
    return default if task.config.filter_list is None else list(task.config.filter_list)


def _ensembles(task: Any) -> list[Any]:
    """The task's filters, built anew from its definition, since the task's own
    (`Task.apply_filters`) process all of its requests at once."""
    from lm_eval.filters import build_filter_ensemble

    def steps(listed: dict[str, Any]) -> list[list[Any]]:
        return [
            [step["function"], {k: v for k, v in step.items() if k != "function"}]
            for step in listed["filter"]
        ]

    return [build_filter_ensemble(listed["name"], steps(listed)) for listed in _listed(task)]


def chance(task: Any, instances: Sequence[Any]) -> float:
    """Chance of one document: 1 / number of choices, 0 if the answer is generated."""
    if task.OUTPUT_TYPE != "multiple_choice":
        return 0.0
    # instances without a context belong to the mutual-information variant
    return 1 / sum(bool(instance.args[0]) for instance in instances)
