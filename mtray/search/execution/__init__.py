"""Trials on Ray: Tune, executors, progress, console, watchdog."""
