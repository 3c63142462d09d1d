"""When a trial ends before its last step, and how it is measured until then."""
