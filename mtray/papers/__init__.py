"""Presets that run the experiments of papers: their files, the studies composed from them, and
their reports."""
