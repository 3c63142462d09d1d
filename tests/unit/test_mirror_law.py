"""A sweep whose head and folder are lost again and again, resumed from its mirror alone: the same
trials as without, none lost that was copied, none twice. The real ledger and journal, a tabulated
objective in the place of training."""

import random
import shutil

import pytest
from ledger_factory import ledger_in, run, trials_in, write
from mirror_factory import FailingBucket
from optuna.trial import TrialState

from mtray.mirror.copier import Copier
from mtray.mirror.manifest import newest
from mtray.mirror.owner import claim
from mtray.mirror.restore import restore
from mtray.run_files import result_path

TOTAL = 12


class Lost(Exception):
    """The machine is gone."""


class Head:
    """One start of the sweep on a new machine. After every event the copying may come along, and
    the machine may be lost."""

    def __init__(self, folder, bucket, rng):
        self.folder, self.bucket, self.rng = folder / "made-up", bucket, rng
        if restore(bucket, self.folder, lambda line: None) is None:
            self.folder.mkdir(parents=True)
        owner = claim(bucket, f"{rng.getrandbits(128):032x}", lambda line: None, beat=0, settle=0)
        self.copier = Copier(bucket, self.folder, owner)
        self.copier.adopt()

    def event(self):
        if self.rng.random() < 0.5:
            self.copier.records()
            self.copier.large()
        if self.rng.random() < 0.1:
            raise Lost

    def sweep(self):
        ledger = ledger_in(self.folder)
        self.event()
        while (job := ledger.next(TOTAL)) is not None:
            self.event()
            write(self.folder, job)
            self.event()
            ledger.tell(job.number)
            self.event()
        self.copier.records()


def records(folder):
    return {n: result_path(folder, n).read_bytes() for n in range(TOTAL)}


@pytest.mark.parametrize("seed", range(3))
def test_a_sweep_resumed_from_its_mirror_has_the_same_trials(tmp_path, seed):
    through = tmp_path / "through"
    through.mkdir()
    run(through, TOTAL)
    (tmp_path / "store").mkdir()
    bucket, rng, lost = FailingBucket(tmp_path / "store"), random.Random(seed), 0
    kept = {}
    while True:
        head = Head(tmp_path / "head", bucket, rng)
        for path, content in kept.items():  # what was copied is there again
            assert (head.folder / path).read_bytes() == content
        try:
            head.sweep()
            break
        except Lost:
            lost += 1
            files = newest(bucket).files if newest(bucket) else ()
            kept = {f.path: bucket.read(f.object) for f in files if f.path.endswith("result.json")}
            shutil.rmtree(tmp_path / "head")
    assert lost
    final = tmp_path / "final"
    restore(bucket, final, lambda line: None)
    for folder in (head.folder, final):
        assert records(folder) == records(through)
        assert len(list(folder.glob("trials/*/result.json"))) == TOTAL
        trials = trials_in(folder)
        assert [t.number for t in trials] == list(range(TOTAL))
        assert {t.state for t in trials} == {TrialState.COMPLETE}
        assert [t.params for t in trials] == [t.params for t in trials_in(through)]
