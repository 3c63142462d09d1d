#!/usr/bin/env python3
"""Search the mixture of parallel, monolingual and replay data; see
`python sweeps/ratio_search.py --help`."""

import sys

from mtray.sweep import main

if __name__ == "__main__":
    sys.exit(main())
