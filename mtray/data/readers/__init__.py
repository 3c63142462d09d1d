"""A file for each kind of format: bytes, plain or compressed, to rows of text, as a stream."""
