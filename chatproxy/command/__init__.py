"""What only the `chatproxy` process has: command line, server, generated token, doctor and demo.

aiohttp loads the system's certificates twice while it is imported, for contexts that chatproxy does not use:
an Ollama with TLS gets that of `ollama/authorities`. So OpenSSL is to find none meanwhile, which takes a
quarter off the import. Nor does aiohttp have to know the system's media types: `web/api/pages` has its own.
"""

import mimetypes
import os
from importlib import import_module

from chatproxy.config import FOR_OPENSSL
from chatproxy.ollama.authorities import set_variables, variables

mimetypes.knownfiles.clear()
_given = variables()
set_variables(dict.fromkeys(FOR_OPENSSL, os.devnull))
try:
    import_module("aiohttp")
finally:
    set_variables(_given)
