"""chatproxy beside other proxies and by itself, measured: `make bench`."""
