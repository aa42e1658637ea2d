"""chatproxy among faults of the network, the processes and the machine: real ones, counted.

`python -m faults` (with `tests/support` on the path; `make faults`) tries them all and writes the table in
BENCHMARKS.md; tests/process/test_faults.py tries a few of each.
"""
