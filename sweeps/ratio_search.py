#!/usr/bin/env python3
"""Search the mixture of parallel, monolingual and replay data; see
`python sweeps/ratio_search.py --help`."""

import sys
from pathlib import Path

# this checkout's own code, whichever one is installed
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from mtray.sweep_command import main

if __name__ == "__main__":
    sys.exit(main())
