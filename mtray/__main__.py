"""`python -m mtray`."""

import sys

from mtray.cli import main

if __name__ == "__main__":
    sys.exit(main())
