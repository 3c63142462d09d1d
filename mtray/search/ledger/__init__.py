"""The trials of a run: journal, records, resuming. Knows no Ray."""
