"""`python -m tfcovr_utils VERB ...` is `tfcovr VERB ...`; Accelerate and torchrun launch it by this name."""

import sys

from .cli.main import main

if __name__ == "__main__":
    sys.exit(main())
