"""What was left out, truncated, replaced or repeated in the trials of a run, one sentence for each
kind. Otherwise only the records show it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from mtray.report.abilities import ability_notes, ability_sets
from mtray.run_files import trial_name, trials_text
from mtray.runtime import CODE
from mtray.schema import TrialRecord

MOST = 5  # items of a sentence; the rest are counted
CUT_SHARE = 0.01  # of the answers of a part; smaller shares of truncated answers are not reported


def run_notes(records: Sequence[TrialRecord]) -> tuple[str, ...]:
    """All notes on a run's trials; what retention averages comes first."""
    measured = [r for r in records if r.scores]
    return (*ability_notes(ability_sets(measured)), *omissions(records))


def omissions(records: Iterable[TrialRecord]) -> tuple[str, ...]:
    """Sentences on trials in any state; none if all went as requested."""
    by_number = sorted(records, key=lambda r: r.number)
    own = [r for r in by_number if r.trained_as is None]  # not those that share a training
    found = [
        _listed("Examples over `max_length` tokens, left out of every mix", _too_long(own)),
        _listed("Articles cut to `max_article_tokens`", _articles_cut(own)),
        _listed("Answers cut off at `max_new_tokens`, in the trial with the most",
                _cut_off(by_number)),
        _listed("Segments longer than the metric reads, of which it scored the beginning alone "
                "(`evaluation.comet_long` scores them in parts), in the trial with the most",
                _unread(by_number)),
        _listed("Segments longer than the metric reads, which were scored in parts, in the trial "
                "with the most", _in_parts(by_number)),
        _listed("Answers in another language (`off_target`) are not detected, since the detector "
                "does not know the target language, for", _not_judged(by_number)),
        _listed("BLEU over characters, since MeCab is not installed", _characters(by_number)),
        _listed("At rungs, on a part of the segments, retention also leaves out", _at_rungs(own)),
        _listed("Rungs that were not measured, so the trial went on", _rungs_not_measured(own)),
        _listed("Baselines with fewer pairs, since a source is too small", _short_baselines(own)),
        _listed("More than one attempt", _attempts(own)),
        _listed("Trained from the first step, since the checkpoint could not be used", _anew(own)),
        _listed("KL divergence from the base model not recorded", _not_compared(own)),
        _listed("Trained in different precisions, which `precision: auto` chose", _precisions(own)),
        _listed("Attention", _attentions(own)),
        _listed("Made by different versions of mtray's code, so comparable only where its changes "
                "do not affect them", _codes(own)),
        _listed("Not measured in the same way in all trials, so not comparable between them",
                _signatures(by_number)),
    ]  # fmt: skip
    return tuple(sentence for sentence in found if sentence)


def _listed(head: str, items: Iterable[str]) -> str:
    """One sentence; empty without items."""
    found = list(dict.fromkeys(items))
    more = f"; and {len(found) - MOST} more" if len(found) > MOST else ""
    return f"{head}: {'; '.join(found[:MOST])}{more}." if found else ""


def _too_long(records: Sequence[TrialRecord]) -> list[str]:
    shares = {s.source: s for r in records for s in r.mix.shares if s.dropped}
    return [f"{s.dropped:,} of {s.available + s.dropped:,} of {n}" for n, s in shares.items()]


def _articles_cut(records: Sequence[TrialRecord]) -> list[str]:
    found = {
        name: (counts["articles_cut"], counts["segments"])
        for r in records
        for name, counts in r.counts.items()
        if counts.get("articles_cut")
    }
    return [f"{cut:,.0f} of {n:,.0f} of {name}" for name, (cut, n) in found.items()]


def _cut_off(records: Sequence[TrialRecord]) -> list[str]:
    """For each part of the evaluation, the trial with the largest share."""
    worst: dict[str, tuple[float, float, float, int]] = {}
    for record in records:
        for part, counts in record.counts.items():
            cut = counts.get("truncated", 0.0)
            asked = counts.get("segments", counts.get("requests", 0.0))
            if cut and cut / asked >= max(CUT_SHARE, worst.get(part, (0.0,))[0] + 1e-9):
                worst[part] = cut / asked, cut, asked, record.number
    return [
        f"{cut:,.0f} of {asked:,.0f} in {part} ({_name(number)})"
        for part, (_, cut, asked, number) in worst.items()
    ]


def _unread(records: Sequence[TrialRecord]) -> list[str]:
    """For each score, the trial with the most segments that its metric truncated."""
    worst: dict[str, tuple[int, int]] = {}
    for record in records:
        for name, score in record.scores.items():
            if (score.truncated or 0) > worst.get(name, (0, 0))[0]:
                worst[name] = score.truncated or 0, record.number
    return [f"{cut:,} in {name} ({_name(number)})" for name, (cut, number) in worst.items()]


def _in_parts(records: Sequence[TrialRecord]) -> list[str]:
    """For each score, the trial with the most segments that were scored in parts."""
    worst: dict[str, tuple[int, str]] = {}
    for record in records:
        for name, score in record.scores.items():
            if (count := sum(score.divided.values())) > worst.get(name, (0, ""))[0]:
                ways = ", ".join(f"{n:,} by {way}" for way, n in score.divided.items())
                worst[name] = count, f"{ways} ({_name(record.number)})"
    return [f"{count:,} in {name}: {how}" for name, (count, how) in worst.items()]


def _name(number: int) -> str:
    return "the base model" if number < 0 else f"trial {trial_name(number)}"


def _not_judged(records: Sequence[TrialRecord]) -> list[str]:
    return [
        part.removeprefix("failures.")
        for r in records
        for part, counts in r.counts.items()
        if "strict.empty" in counts and "strict.off_target" not in counts
    ]


def _characters(records: Sequence[TrialRecord]) -> list[str]:
    return [
        name
        for r in records
        for name, score in r.scores.items()
        if score.signature.startswith("BLEU|") and "|tok:char|" in f"{score.signature}|"
    ]


def _at_rungs(records: Sequence[TrialRecord]) -> list[str]:
    """Abilities left out at rungs that are not left out on all segments."""
    whole = {name for r in records for name in r.extra.get("left_out") or ()}
    return [n for r in records for rung in r.rungs for n in rung.left_out if n not in whole]


def _rungs_not_measured(records: Sequence[TrialRecord]) -> list[str]:
    return [
        f"rung {rung.rung + 1} of trial {r.number} ({rung.decision.removeprefix('not measured: ')})"
        for r in records
        for rung in r.rungs
        if not rung.objectives and rung.decision.startswith("not measured")
    ]


def _short_baselines(records: Sequence[TrialRecord]) -> list[str]:
    """Baselines smaller than `parallel_only`, whose size they have unless there is too little
    text."""
    size = {r.role: r.recipe.parallel_size for r in records if r.role != "search"}
    most = size.get("parallel_only", 0)
    return [
        f"{role} {size[role]:,}, parallel_only {most:,}"
        for role in ("mono_one_to_one", "mono_two_to_one")
        if size.get(role, most) < most
    ]


def _attempts(records: Sequence[TrialRecord]) -> list[str]:
    found = []
    for record in records:
        for lost in record.extra.get("attempts") or ():
            why = str(lost["reason_class"]).replace("_", " ")
            found.append(f"{_name(record.number)} ({why}, {lost['then']})")
    return found


def _anew(records: Sequence[TrialRecord]) -> list[str]:
    return [
        f"trial {r.number} ({str(r.extra['checkpoint']).removeprefix('begun anew: ')})"
        for r in records
        if r.extra.get("checkpoint")
    ]


def _not_compared(records: Sequence[TrialRecord]) -> list[str]:
    return [
        f"trial {r.number} ({str(r.extra['divergence']).removeprefix('not recorded: ')})"
        for r in records
        if r.extra.get("divergence")
    ]


def _attentions(records: Sequence[TrialRecord]) -> list[str]:
    return [str(r.extra["attention"]) for r in records if r.extra.get("attention")]


def _precisions(records: Sequence[TrialRecord]) -> list[str]:
    found: dict[str, list[int]] = {}
    for record in records:
        if record.training is not None:
            found.setdefault(record.training.precision, []).append(record.number)
    return [f"{p} ({trials_text(n)})" for p, n in found.items()] if len(found) > 1 else []


def _codes(records: Sequence[TrialRecord]) -> list[str]:
    """Earlier versions recorded no code."""
    found: dict[str, list[int]] = {}
    for record in records:
        if record.scores:
            code = record.versions.get(CODE)
            found.setdefault(f"code {code}" if code else "an earlier version", []).append(
                record.number
            )
    return [f"{c} ({trials_text(n)})" for c, n in found.items()] if len(found) > 1 else []


def _signatures(records: Sequence[TrialRecord]) -> list[str]:
    """Scores whose signatures differ: another metric, version or definition under one name."""
    seen: dict[str, set[str]] = {}
    for record in records:
        for name, score in {**record.scores, **record.objectives}.items():
            seen.setdefault(name, set()).add(score.signature)
    return [name for name, signatures in seen.items() if len(signatures) > 1]
