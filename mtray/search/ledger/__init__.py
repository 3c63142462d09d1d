"""The trials of a run: journal, records, resuming. Uses no Ray."""
