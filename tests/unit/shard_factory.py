"""Studies of a source whose rows show every way of building a store, and runners of shards."""

import json
import pickle
import random

from records_factory import make_study

from mtray.data.shards import Shard, ShardWork
from mtray.data.variants import Variant
from mtray.schema import Evaluation, Filters, QualitySet, Source, Training

WORDS = ("abba", "bad", "cab", "dad", "fed", "bee", "beef", "deaf")
DROP = {"leakage": "drop", "shots_leakage": "drop"}
LEAKED = (3, 57, 58, 90, 150)  # rows that are also in the evaluation set
SAID = (
    "filters",
    "rendering",
    "allowed",
    "overlaps",
    "told",
    "remarks",
    "rows",
    "examples",
    "tokens",
)


def write_files(folder, rows=200):
    """Pairs in documents of five, some empty, repeated or leaked; an evaluation set; and noise."""
    rng = random.Random(7)
    lines = [
        {"en": _text(rng), "uk": _text(rng) if i % 40 else " ", "document": f"d{i // 5}"}
        for i in range(rows)
    ]
    for i in range(100, 110):
        lines[i] |= {side: lines[i - 100][side] for side in ("en", "uk")}
    lines[120]["en"] = f"{lines[119]['en']} </s>"
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    dev = [f"{lines[i]['en']}\tdad fed a bee number {i}\n" for i in LEAKED[1:]]
    long = " ".join(lines[i]["en"] for i in range(4))
    lines[LEAKED[0]]["en"] = f"{long} and more"  # found by the words that it shares
    (folder / "pairs.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "dev.tsv").write_text("en\tuk\n" + "".join(dev) + f"{long}\tbad\n")
    (folder / "noisy.txt").write_text("".join(f"weaker {line['uk']}\n" for line in lines))
    (folder / "words.tsv").write_text("".join(f"{word}\t{word[::-1]}\n" for word in WORDS))


def _text(rng):
    return " ".join(rng.choices(WORDS, k=rng.randint(3, 9)))


def _pairs(folder, **keys):
    path = str(folder / "pairs.jsonl")
    fields = {"name": "pairs", "kind": "parallel", "path": path, "languages": ("en", "uk")}
    return Source(**(fields | keys))


def _noise(folder, level, side, name):
    return {"level": level, "side": side, "rate": 0.4, "path": str(folder / name)}


# what a source and its filters are, and its variant; `draws`: its store of draws
CASES = {
    "pairs": ({}, DROP, Variant()),
    "allowed": ({}, {"leakage": "allow", "words": {"at_least": 4}}, Variant()),
    "duplicates": ({}, DROP | {"duplicates": "row"}, Variant()),
    "near": ({}, DROP | {"near_duplicates": 0.8, "duplicates": "source"}, Variant()),
    "documents": ({"documents": True}, DROP, Variant()),
    "context": ({"context": 2}, DROP, Variant()),
    "shots": ({"shots": (1, 3)}, DROP, Variant(few_shot=True)),
    "directions": ({"directions": {"en-uk": 1, "uk-en": 2}}, DROP, Variant()),
    "words": ({"noise": ("word", "source", "words.tsv")}, DROP, Variant()),
    "sentences": ({"noise": ("sentence", "target", "noisy.txt")}, DROP, Variant()),
    "mono": ({"kind": "mono", "columns": {"text": "en"}, "languages": ("en",)}, DROP, Variant()),
    "replay": (
        {"kind": "replay", "columns": {"prompt": "en", "target": "uk"}, "languages": ()},
        DROP,
        Variant(),
    ),
    "draws": ({}, DROP, "draws"),
    "draws of others": ({}, DROP | {"duplicates": "row"}, "draws"),
}
COMPARED = {"duplicates", "near", "draws of others"}
COMBINED = {"documents", "context", "shots"}


def case_study(folder, name):
    """The study of a case, its source, and the variant."""
    keys, filters, variant = CASES[name]
    keys = dict(keys)
    if "noise" in keys:
        keys["noise"] = _noise(folder, *keys["noise"])
    if name in ("documents", "context"):
        keys["columns"] = {"document": "document"}
    source = _pairs(folder, **keys)
    other = (_pairs(folder, name="other"),) if source.kind != "parallel" else ()
    quality = QualitySet(direction="en-uk", path=str(folder / "dev.tsv"))
    study = make_study(
        sources=(source, *other),
        filters=Filters(**filters),
        training=Training(max_length=90),
        evaluation=Evaluation(comet="none", quality=(quality,), abilities={}),
    )
    return study, source, variant


def build_case(pipeline, source, variant):
    store = pipeline.draws(source) if variant == "draws" else pipeline.store(source, variant)
    assert store.built
    return store


def contents(store):
    """All of a store that trials and reports see."""
    manifest = store.manifest
    return store.tokens.read_bytes(), {key: manifest[key] for key in SAID}


class Backwards:
    """A runner that begins with the last shard, and works as in other processes."""

    def __init__(self, work: ShardWork, window=1000):
        self.window, self.given = window, pickle.dumps(work)
        self.shards, self.built = {}, {}
        self.order = []

    def submit(self, shard: Shard):
        self.shards[shard.before] = pickle.dumps(shard)
        return lambda: self._result(shard.before)

    def _result(self, wanted):
        for before in sorted(self.shards, reverse=True):
            self.order.append(before)
            work, shard = pickle.loads(self.given), pickle.loads(self.shards.pop(before))
            try:
                built = work.build(shard)
                self.built[before] = built._replace(
                    builder=(f"node{len(self.order) % 2}", len(self.order) % 3)
                )
            except Exception as error:
                self.built[before] = error
        found = self.built.pop(wanted)
        if isinstance(found, Exception):
            raise found
        return found


class BackwardsHelpers:
    """Has a runner for every store; `asked`: of which."""

    def __init__(self, window=1000):
        self.window, self.asked, self.runners = window, [], []

    def runner(self, store, work, inputs):
        assert {"code", "versions"} <= inputs.keys()
        self.asked.append(store)
        self.runners.append(Backwards(work, self.window))
        return self.runners[-1]
