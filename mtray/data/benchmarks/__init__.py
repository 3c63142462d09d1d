"""Evaluation sets and glossaries in their published formats, one file each."""
