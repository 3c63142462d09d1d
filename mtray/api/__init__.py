"""mtray from Python; the names of `mtray` itself are imported from here."""
