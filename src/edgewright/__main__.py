"""``python -m edgewright`` is the ``edgewright`` command."""

import sys

from edgewright.cli import main

if __name__ == "__main__":
    sys.exit(main())
