"""A fuzzer of every reader: `python -m tests.fuzz --inputs 100000`; a share of it runs in the suite."""
