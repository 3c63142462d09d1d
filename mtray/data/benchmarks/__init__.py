"""Evaluation sets and glossaries as their authors ship them: a file each."""
