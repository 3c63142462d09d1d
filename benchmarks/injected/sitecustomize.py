"""Failures for `benchmarks/chaos.py`, injected into every process of a sweep through PYTHONPATH;
the package itself has no code for them.

CHAOS holds JSON: {"trials": {"0": "exception", ...}, "slow_driver": seconds}. The failures of a
trial are in `SCORES` and `run_trial` below.
"""

import importlib.abc
import importlib.util
import json
import os
import sys
import time

WANTED = json.loads(os.environ.get("CHAOS", "{}"))
TRIALS = {int(number): what for number, what in WANTED.get("trials", {}).items()}


def _exception(study, result):
    raise KeyError("a measure that stumbles")


def _missing(study, result):
    """A study that asks for what was not measured, in the eyes of one trial."""
    return study.model_copy(update={"objectives": {**study.objectives, "nowhere": "max"}})


def _nan(study, result):
    from mtray.analysis.uncertainty import mean_measurement

    mean_measurement([float("nan")] * 4, "made up")


SCORES = {"exception": _exception, "missing": _missing, "nan": _nan}


def change_record(module):
    record_trial = module.record_trial

    def recording(job, study, *rest):
        what = SCORES.get(TRIALS.get(job.number))
        return record_trial(job, (what and what(study, rest)) or study, *rest)

    module.record_trial = recording


def change_trial(module):
    run_trial = module.run_trial

    def running(job, study, store, requests, how, worker):
        import torch

        what = TRIALS.get(job.number)
        if what == "memory" or (what == "memory_once" and worker.batch_share == 1.0):
            torch.empty(1 << 50)  # a petabyte
        return run_trial(job, study, store, requests, how, worker)

    module.run_trial = running


def change_live(module):
    ended = module.LiveTable.ended

    def slowly(self, record):
        ended(self, record)
        time.sleep(WANTED.get("slow_driver", 0))

    module.LiveTable.ended = slowly


CHANGES = {
    "mtray.trial.run": change_trial,
    "mtray.trial.record": change_record,
    "mtray.search.execution.console": change_live,
}


class After(importlib.abc.MetaPathFinder):
    """Changes a module right after it was imported."""

    def find_spec(self, name, path=None, target=None):
        change = CHANGES.pop(name, None)
        if change is None:
            return None
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            change(module)

        spec.loader.exec_module = exec_module
        return spec


if WANTED:
    sys.meta_path.insert(0, After())
