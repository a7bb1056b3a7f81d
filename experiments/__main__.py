"""`python -m experiments VERB`."""

import logging
import sys

from experiments.cli import main

if __name__ == "__main__":
    logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells what it was told
    sys.exit(main(sys.argv[1:]))
