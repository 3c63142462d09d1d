"""Which point to try next. Uses no run folder and no Ray."""
