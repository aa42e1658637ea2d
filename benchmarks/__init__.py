"""Benchmarks of chatproxy, beside nginx and by itself; each writes its section of BENCHMARKS.md."""
