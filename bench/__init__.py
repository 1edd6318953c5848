"""Benchmarks: each module prints one JSON object on its last line with `python -m bench.NAME --json`."""
