"""`python -m core.evaluation PROTOCOL --out REPORT.json`: the same as `m2v evaluate`."""

import sys

from core.cli.evaluate_command import main

if __name__ == "__main__":
    sys.exit(main())
