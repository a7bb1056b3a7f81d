"""`python -m experiments VERB`."""

import logging
import sys
import warnings

from experiments.cli import main

if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells what it was told
    warnings.formatwarning = lambda message, *_: f"warning: {message}\n"
    sys.exit(main(sys.argv[1:]))
