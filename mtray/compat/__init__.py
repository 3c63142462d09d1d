"""What mtray needs of other libraries beyond their public interface: one module a library, and no
other place (`tests/unit/test_compat_only.py` reads the code for it).

Each function says what of it is private, why that is needed, with which versions it was tried and
what is done without it. A test in `tests/unit/compat/` fails where a release has taken it away.
Nothing here imports from the rest of mtray but errors, and a library is imported only when it is
asked for."""
