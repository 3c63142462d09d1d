"""Early stopping: the rule that ends a trial before its last step, and its measurements."""
