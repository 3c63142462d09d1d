"""What runs in the metrics interpreter: COMET behind the protocol of `protocol.py`.

The metrics interpreter has comet and what that needs, and nothing of mtray. So these files import
each other relatively, and otherwise only the standard library, NumPy and comet with its own
dependencies; `python -I FOLDER` starts them. On the main side only `protocol` and the constants of
`checkpoint` are imported, which need the standard library alone.
"""
