"""What to try next. Knows no run folder and no Ray."""
