"""What only the `chatproxy` process has: the command line, the server, the doctor, the demo."""
