"""What only the `chatproxy` process has: command line, server, generated token, doctor and demo.

aiohttp loads the system's certificates twice while it is imported, for contexts that chatproxy does not use:
an Ollama with TLS gets that of `ollama/authorities`. So OpenSSL is to find none meanwhile, which takes a
quarter off the import.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module


@contextmanager
def _without_certificates() -> Iterator[None]:
    environment = dict(os.environ)
    os.environ |= {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}
    try:
        yield
    finally:
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
            del os.environ[name]
        os.environ |= environment


with _without_certificates():
    import_module("aiohttp")
