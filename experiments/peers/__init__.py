"""The contenders of the benchmark, each a program of its own (see `worker`)."""
