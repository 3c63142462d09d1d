"""The private or undocumented interfaces of other libraries that mtray uses: one module a library,
and nowhere else (`tests/unit/test_compat_only.py` checks the code for it).

Each function states which part is private, why it is needed, with which versions it was tested and
what happens without it. A test in `tests/unit/compat/` fails if a release removes it. Nothing here
imports from the rest of mtray except errors, and a library is imported only when it is needed.
"""
