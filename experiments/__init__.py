"""What runs: one loop, one command line, one short file for each experiment."""

from experiments.workdir import load as load
