"""What a first study and its space hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from mtray.errors import DataError
from mtray.first_study import fitting
from mtray.first_study.corpora import MOST, Corpus
from mtray.first_study.fitting import Fit, Machine, ModelFacts
from mtray.schema import NO_COMET

LEAST_PAIRS = 40  # of which a sweep can learn anything
OVERHEAD = 32  # tokens of a prompt besides its texts
MARGIN = 1.3  # of lengths in a sample
SHOTS = 3
MONO_MOST, REPLAY_MOST = 2.0, 0.3
PARALLEL, MONO, REPLAY = "pairs", "mono", "replay"
SPLIT = " "


@dataclass(frozen=True)
class Brought:
    """What the user has given.

    - `languages`: source and target.
    - `parallel`, `mono`, `replay`: training corpora by their names in the study; `mono` with
      languages.
    - `test`: what every trial is measured on; `held_out`: for `mtray test`.
    """

    name: str
    model: ModelFacts
    languages: tuple[str, str]
    parallel: dict[str, Corpus]
    mono: dict[str, tuple[str, Corpus]]
    replay: dict[str, Corpus]
    test: Corpus
    held_out: Corpus | None
    comet: str


@dataclass(frozen=True)
class Plan:
    """The values of both files. `held`: the examples of each source that trials can draw from."""

    brought: Brought
    machine: Machine
    fit: Fit
    held: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def direction(self) -> str:
        return "-".join(self.brought.languages)

    @cached_property
    def lengths(self) -> list[int]:
        """Tokens of sampled training examples with their prompts."""
        count = self.brought.model.tokenizer
        corpora = [*self.brought.parallel.values(), *self.brought.replay.values()]
        texts = [SPLIT.join(row) for corpus in corpora for row in corpus.sample]
        return [len(ids) + OVERHEAD for ids in count(texts)["input_ids"]] if texts else [OVERHEAD]

    @cached_property
    def mean_length(self) -> float:
        return sum(self.lengths) / len(self.lengths)

    @cached_property
    def max_length(self) -> int:
        """That of 99 of 100 examples, in steps of 32."""
        most = min(1024, self.brought.model.positions or 1024)
        return fitting.rounded_up(fitting.quantile(self.lengths, 0.99), 32, 64, most)

    @cached_property
    def longest_text(self) -> int:
        """Tokens of the longest text of the test set, and 30 %: only a sample was read."""
        count = self.brought.model.tokenizer
        texts = [text for row in self.brought.test.sample for text in row]
        return math.ceil(MARGIN * max(len(ids) for ids in count(texts)["input_ids"]))

    @cached_property
    def new_tokens(self) -> int:
        """`longest_text` in steps of 16, and what the model's positions leave after a prompt."""
        most = min(512, self.max_length)
        if positions := self.brought.model.positions:
            most = min(most, (positions - self.longest_text - OVERHEAD) // 16 * 16)
        return fitting.rounded_up(self.longest_text, 16, 32, max(32, most))

    @cached_property
    def shots(self) -> int:
        """Examples in the prompts of `few_shot`: as many of 3 as leave room for an answer."""
        positions = self.brought.model.positions
        if positions is None:
            return SHOTS
        example = MARGIN * max(self.lengths)
        room = positions - self.longest_text - OVERHEAD - self.new_tokens
        return max(0, min(SHOTS, int(room // example)))

    @cached_property
    def segments(self) -> int:
        sets = 2 if self.brought.model.encodes else 5
        tokens = self.mean_length + self.new_tokens
        found = self.brought
        return fitting.set_size(self.fit, found.model.parameters, tokens, sets, found.test.rows)

    def examples(self, names: Mapping[str, object]) -> int:
        """Examples of these sources."""
        return sum(self.held.get(name, 0) for name in names)

    def in_equal_parts(self, names: Mapping[str, object]) -> int:
        """Examples that these sources have if each gives as many as the others."""
        return len(names) * min(self.held[name] for name in names)

    @cached_property
    def most_pairs(self) -> int:
        """The upper end of `parallel_size`. DataError where there are too few pairs."""
        there = self.examples(self.brought.parallel)
        if len(self.brought.parallel) > 1:  # drawn in equal parts
            there = self.in_equal_parts(self.brought.parallel)
        if there < LEAST_PAIRS:
            raise DataError(
                f"--parallel: {there} pairs are left of those given; a sweep needs "
                f"{LEAST_PAIRS} or more"
            )
        parameters = self.brought.model.parameters
        affordable = fitting.most_examples(self.fit, parameters, self.mean_length)
        return int(fitting.rounded_down(min(there, max(500, affordable))))

    @cached_property
    def most_mono(self) -> float:
        """The upper end of `mono_ratio`; 0: none, or too few."""
        mono = self.brought.mono
        if not mono:
            return 0.0
        there = self.in_equal_parts(mono)
        found = fitting.rounded_down(min(MONO_MOST, there / self.most_pairs))
        return found if found >= 0.05 else 0.0

    @cached_property
    def most_replay(self) -> float:
        """The upper end of `replay_fraction`; 0: none, or too few."""
        replay = self.brought.replay
        if not replay:
            return 0.0
        there = self.in_equal_parts(replay)
        rest = self.most_pairs * (1 + self.most_mono)
        found = fitting.rounded_down(min(REPLAY_MOST, 0.99 * there / (there + rest)))
        return found if found >= 0.01 else 0.0

    @cached_property
    def minutes(self) -> float:
        """Of training with the largest recipe."""
        examples = self.most_pairs * (1 + self.most_mono) / max(0.1, 1 - self.most_replay)
        per_second = fitting.most_examples(self.fit, self.brought.model.parameters, 1)
        return examples * self.mean_length / max(1, per_second) * fitting.TRIAL_SECONDS / 60

    @property
    def objectives(self) -> dict[str, str]:
        quality = f"chrf.{self.direction}" if self.brought.comet == NO_COMET else "quality"
        return {quality: "max", "retention": "max"}

    @property
    def batch(self) -> int:
        """Examples in a batch: at least 16 steps of the smallest recipe that is worth trying."""
        return 64 if self.most_pairs >= 4096 else 32 if self.most_pairs >= 512 else 8

    @property
    def counted(self) -> bool:
        """Whether all rows were read, and not only the first `MOST` of a corpus."""
        found = self.brought
        corpora = [*found.parallel.values(), *found.replay.values(), found.test]
        corpora += [corpus for _, corpus in found.mono.values()]
        return all(corpus.rows < MOST for corpus in corpora)
