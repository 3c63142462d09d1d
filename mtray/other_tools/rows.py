"""The examples that a trial was trained on, in the order of its steps, as JSON lines."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mtray.data.encoder_decoder import IGNORED
from mtray.data.mixing import Index
from mtray.data.row_texts import row_texts, stored_row
from mtray.data.store import mixed
from mtray.data.tables import Examples, Table
from mtray.data.tokenization import Ids, written_parts
from mtray.schema import Study, study_of
from mtray.training.loop import example_lengths
from mtray.training.schedule import batches, step_after
from mtray.trial.job import Job


@dataclass(frozen=True)
class Row:
    """One example; special tokens are written out in its texts.

    - `source`: the name of its source.
    - `prompt`: the text before the loss; empty for a text that is trained on as a whole.
    - `target`: the text that the loss is on.
    - `ids`: of both together.
    - `loss_from`: the position from which the loss is computed; the first token has none.
    """

    source: str
    prompt: str
    target: str
    ids: Ids
    loss_from: int

    @property
    def labels(self) -> Ids:
        return [IGNORED] * self.loss_from + self.ids[self.loss_from :]

    def line(self, with_mask: bool = False) -> str:
        """As a line of JSON. `with_mask`: with the mask of attention, which has no zeros."""
        found: dict[str, Any] = {
            "source": self.source, "prompt": self.prompt, "target": self.target,
            "input_ids": self.ids, "labels": self.labels,
        }  # fmt: skip
        if with_mask:
            found["attention_mask"] = [1] * len(self.ids)
        return json.dumps(found, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class TrialRows:
    """The rows of a trial.

    - `distinct`: every row that it saw, by its place in the mix.
    - `steps`: the places of each step, (rows,) each; those of all epochs, up to the last step that
      was taken.
    - `planned`: how many steps its schedule was planned for; more than `steps` where it stopped
      early.
    """

    distinct: Mapping[int, Row]
    steps: Sequence[Index]
    planned: int

    def __len__(self) -> int:
        return sum(map(len, self.steps))

    def __iter__(self) -> Iterator[Row]:
        """In the order of training; a row of two epochs comes twice."""
        for step in self.steps:
            for place in step.tolist():
                yield self.distinct[place]

    @property
    def longest(self) -> int:
        """Tokens."""
        return max(len(row.ids) for row in self.distinct.values())

    def batches_of(self, size: int) -> int:
        """How many steps from the first on hold exactly `size` rows. The last step counts whatever
        it holds, since nothing follows it."""
        sizes = [len(step) for step in self.steps]
        same = next((i for i, n in enumerate(sizes) if n != size), len(sizes))
        return len(sizes) if same == len(sizes) - 1 and sizes[-1] < size else same


def trial_rows(
    job: Job, study: Study, store: Mapping[str, Table], drawn: Study, tokenizer: Any
) -> TrialRows:
    """The rows of a job, drawn and ordered by the functions that feed its training. `study`: the
    run's; `drawn`: that which `store` was built from (`mtray.retrain.drawn_study`)."""
    own = study_of(job.recipe, study)
    examples, _ = mixed(own, store, job.recipe, job.draw)
    planned = batches(example_lengths(examples), own.training, job.seed)
    steps = planned[: step_after(job.recipe.stop_after, len(planned))]
    places = np.unique(np.concatenate(steps)).tolist()
    texts = row_texts(examples, places, store, drawn, job.recipe, tokenizer)
    parts = written_parts(tokenizer, [texts[place] for place in places])
    distinct = {
        place: _row(examples, place, *part) for place, part in zip(places, parts, strict=True)
    }
    return TrialRows(distinct, steps, len(planned))


def _row(examples: Examples, place: int, prompt: str, target: str) -> Row:
    table, _ = stored_row(*examples.drawn_from(place))
    ids, loss_from = examples[place]
    return Row(table.source, prompt, target, ids.tolist(), loss_from)


def write_rows(rows: TrialRows, file: Path, with_mask: bool = False) -> None:
    with open(file, "w", encoding="utf-8") as lines:
        lines.writelines(row.line(with_mask) for row in rows)
