"""Everything that is read, built and checked before a sweep starts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mtray.schema import NO_COMET, Evaluation, Study
from mtray.search_space.space import Space

if TYPE_CHECKING:
    from mtray.evaluation.metrics.comet import CometScorer

Say = Callable[[str], None]


@dataclass(frozen=True)
class PreparedSweep:
    """A checked study with everything its trials share, and trials imported from earlier runs.

    - `seen`: notes on the model and on evaluation texts in the sources.
    - `first`: the evaluation that the sources' rows depend on, where a new run has it from an
      earlier one.
    - `lengths`: lines on the lengths of every evaluation set, by its name
      (`mtray.evaluation.set_lengths`).
    """

    study: Study
    space: Space
    store: dict[str, Any]
    suite: Any
    taken: tuple[Any, ...] = ()
    seen: tuple[str, ...] = ()
    first: Evaluation | None = None
    lengths: Mapping[str, Sequence[str]] = field(default_factory=dict)


def check_model(study: Study, space: Space) -> list[str]:
    """Check that the model exists and can be trained as the study and the space require, and that
    the sampler is known. Takes seconds, before any corpus is read. Returns notes on the model."""
    from mtray.search.strategy.samplers import check_sampler
    from mtray.training.model_checks import check_model_fits
    from mtray.training.recipe_checks import adapter_notes, check_recipes

    notes = check_model_fits(study)
    check_recipes(study, space)
    check_sampler(study.sampler)
    return notes + adapter_notes(space)


def prepare(
    study: Study,
    space: Space,
    say: Say = lambda _: None,
    sources: Study | None = None,
    address: str | None = None,
) -> PreparedSweep:
    """Read and tokenise everything, and generate the sources' replay. `sources`: the study by which
    the sources are built, where the run was bound with another evaluation; `address`: a cluster
    that large ones are tokenised on. Raises DataError or ConfigError before any trial starts."""
    from mtray.data.contamination import new_contamination_lines
    from mtray.data.recipe_tables import held_rows
    from mtray.data.rendering_checks import check_renderings
    from mtray.data.special_token_notes import special_token_notes
    from mtray.data.store import build_store, sums_by_recipe
    from mtray.evaluation.held_out import sets_without_test, study_on_test
    from mtray.evaluation.inference.requests import positions_of
    from mtray.evaluation.score_names import check_measured
    from mtray.evaluation.set_lengths import length_lines
    from mtray.evaluation.suite import build_suite, with_dropped_units
    from mtray.generated_replay import check_generated, with_replay
    from mtray.search.execution.shard_tasks import shard_tasks
    from mtray.search.strategy.baseline_recipes import baseline_recipes
    from mtray.search.strategy.largest_recipes import (
        check_source_sizes,
        counts_tokens,
        largest_recipes,
    )
    from mtray.search_space.extreme_recipes import rendering_recipes
    from mtray.training.model_checks import check_looked_up
    from mtray.training.models import load_config, load_tokenizer

    tokenizer = load_tokenizer(study.model, study.trust_remote_code)
    suite = build_suite(study, tokenizer)
    suite = with_dropped_units(suite, study, (sources or study).evaluation, tokenizer)
    check_measured(study, suite)
    if not sets_without_test(study):  # only to find errors: test segments are for `mtray test`
        build_suite(study_on_test(study), tokenizer)
    largest = largest_recipes(space, counts_tokens(study))
    check_generated(study, largest)
    references = map(space.recipe, baseline_recipes(space, study).values())
    rendered = [*rendering_recipes(space), *references]
    check_renderings(rendered, study, tokenizer)
    generated = with_replay(sources or study, say)
    with shard_tasks(address, study.resources, say) as tasks:
        store = build_store(generated, tokenizer, say=say, recipes=rendered, helpers=tasks)
    texts = (text for r in suite.requests for text in (r.prompt, r.target) if text)
    check_looked_up(study, tokenizer, store, list(texts))
    held = held_rows(store, space.values("max_length"))
    fitting = baseline_recipes(space, study, held, sums_by_recipe(study, store)).values()
    check_source_sizes([*largest, *map(space.recipe, fitting)], study, store)
    seen = new_contamination_lines(study, generated)
    seen += special_token_notes(generated, tokenizer, store)
    positions = positions_of(load_config(study.model, study.trust_remote_code))
    lengths = length_lines(suite, study, tokenizer, positions)
    return PreparedSweep(study, space, store, suite, seen=tuple(seen), lengths=lengths)


def check_metric(study: Study) -> dict[str, CometScorer]:
    """Check that the quality metric, further metrics and the sentence encoder can be loaded.
    Returns the metrics by name."""
    if study.evaluation.embedder is not None:
        from mtray.evaluation.source_similarity import load_encoder

        load_encoder(study.evaluation.embedder, study.trust_remote_code)
    return _learned_metrics(study.evaluation)


def _learned_metrics(wanted: Evaluation) -> dict[str, CometScorer]:
    """All that a study names, loaded on the CPU; an error of a further one names its key."""
    from mtray.errors import ModelError
    from mtray.evaluation.metrics.comet import loader
    from mtray.evaluation.metrics.command_metric import load_command

    load_comet = loader("cpu", wanted.comet_long)
    found = {} if wanted.comet == NO_COMET else {"comet": load_comet(wanted.comet)}
    asked: list[tuple[str, str, Callable[[], CometScorer]]] = [
        ("more_comet", name, partial(load_comet, model))
        for name, model in wanted.more_comet.items()
    ]
    asked += [
        ("more_metrics", name, partial(load_command, name, command, "cpu"))
        for name, command in wanted.more_metrics.items()
    ]
    for key, name, load in asked:
        try:
            found[name] = load()
        except ModelError as error:
            raise ModelError(f"`evaluation.{key}.{name}`: {error}") from error
    return found


def check_metrics_python(study: Study) -> None:
    """Raise ModelError if the study needs COMET and no interpreter here can run it."""
    from mtray.metrics_python import metrics_python

    if study.evaluation.comet != NO_COMET or study.evaluation.more_comet:
        metrics_python()


def checked(
    study: Study,
    space: Space,
    say: Say = lambda _: None,
    sources: Study | None = None,
    address: str | None = None,
) -> PreparedSweep:
    """Everything read and checked, cheapest checks first; see `prepare`. Raises MtrayError."""
    from mtray.data.store import check_files
    from mtray.embedded.corpora import fetch_corpora
    from mtray.evaluation.metrics.truncated_references import truncation_notes

    check_metrics_python(study)
    fetch_corpora(study)
    check_files(study)
    notes = check_model(study, space)
    prepared = prepare(study, space, say, sources, address)
    references = {d.name: d.references for d in prepared.suite.directions}
    unread = truncation_notes(check_metric(study), references)
    return replace(prepared, seen=(*notes, *prepared.seen, *unread))


def check_machine(say: Say) -> None:
    """Check that Ray can start here, and say what it has to do otherwise. Takes milliseconds.
    Raises RunError."""
    from mtray.search.execution.process_limit import check_processes
    from mtray.search.execution.ray_folder import session_folder
    from mtray.search.execution.ray_token import found_token, token_is_sent

    found_token(token_is_sent(own=True))
    for note in (session_folder().note, check_processes()):
        if note:
            say(f"note: {note}")


def check_first(
    study: Study,
    space: Space,
    address: str | None,
    run_dir: Path | None = None,
    taken: Any = (),
    waits: bool = False,
) -> int:
    """Checks before any corpus is read: there are resources for a trial, or the sweep `waits` for a
    cluster that grows, and the budget leaves some trials to search. Returns how many trials can run
    at once. Raises MtrayError."""
    from mtray.search.execution import ray_environment
    from mtray.search.execution.available_resources import check_resources, cluster, this_machine
    from mtray.search.ledger.allocation_check import checked_allocation

    ray_environment.apply()
    ray_environment.runtime_env(study.resources)
    if not taken:  # which baselines were imported is known only once the sources are read
        checked_allocation(study, space, run_dir)
    if address:
        return check_resources(study, cluster(address), waits)
    return check_resources(study, this_machine(study))
