"""What outputs are worth: a file for each metric or group of metrics."""
