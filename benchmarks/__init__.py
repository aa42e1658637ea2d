"""Benchmarks of chatproxy, beside other proxies and by itself: `make bench`."""
