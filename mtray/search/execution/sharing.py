"""Puts what all trials of a sweep share where every machine of the cluster can read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ray

from mtray.report.records import read_records
from mtray.search.early_stopping.rungs import points_of
from mtray.search.execution.available_resources import machines
from mtray.search.execution.progress import start_progress
from mtray.search.execution.queue_actor import start_queue
from mtray.search.execution.shared import Shared
from mtray.search.execution.shared_metric import start_metric
from mtray.search.execution.store_transport import send_tables


def share(prepared: Any, run_dir: Path) -> Shared:
    """Put what all trials use where every machine of the cluster can read it."""
    study, progress_actor = prepared.study, start_progress(run_dir.name)
    metric, metric_node = start_metric(study, machines(), run_dir.name)
    progress_actor.restore.remote(rung_points(study, run_dir), False)
    return Shared(
        study=study, run_dir=str(run_dir), progress_actor=progress_actor,
        queue=start_queue(run_dir.name),
        store=send_tables(prepared.store),
        requests=ray.put(prepared.suite.requests), suite=ray.put(prepared.suite),
        similar=_similar(prepared),
        metric=metric, metric_node=metric_node,
    )  # fmt: skip


def rung_points(study: Any, run_dir: Path) -> Any:
    """What the trials with a record measured at their rungs, for the progress actor."""
    if not study.early_stopping:
        return {}
    return points_of(read_records(run_dir).records, study.objectives)


def _similar(prepared: Any) -> Any:
    """Mean embeddings of the sources and the evaluation set, if the study names an encoder."""
    study = prepared.study
    if study.evaluation.embedder is None:
        return None
    from mtray.evaluation.source_similarity import load_encoder, mean_embeddings, prompts_by_part
    from mtray.training.models import load_tokenizer

    return mean_embeddings(
        load_encoder(study.evaluation.embedder, study.trust_remote_code),
        prepared.store,
        load_tokenizer(study.model, study.trust_remote_code),
        prompts_by_part(prepared.suite.parts, prepared.suite.requests),
    )
