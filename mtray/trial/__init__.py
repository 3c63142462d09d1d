"""One trial on one worker, without Ray."""
