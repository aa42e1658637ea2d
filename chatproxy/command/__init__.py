"""What only the `chatproxy` process has: command line, server, generated token, doctor and demo."""
