"""Readers, one file for each kind of format: from bytes, plain or compressed, to rows of text, as a
stream."""
