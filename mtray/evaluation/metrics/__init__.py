"""Metrics of outputs: one file for each metric or group of metrics."""
