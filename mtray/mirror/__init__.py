"""The copy of a run in a bucket: written beside a sweep, restored where the run folder is gone."""
