"""Flask and requests: a generator as the response, as in Flask's documentation, "Streaming Contents"."""

import json
import os
from collections.abc import Iterator

import requests
from flask import Flask, Response, request

app = Flask(__name__)
CHAT = f"http://127.0.0.1:{os.environ['OLLAMA']}/api/chat"


@app.post("/stream")
def stream() -> Response:
    message = {"role": "user", "content": request.get_json()["message"]}
    body = {"model": "bench", "messages": [message], "stream": True}

    def generate() -> Iterator[str]:
        with requests.post(CHAT, json=body, stream=True) as answer:
            # By default, iter_lines waits for 512 bytes; None returns each line at once.
            for line in answer.iter_lines(chunk_size=None):
                token = json.loads(line)
                kind = "done" if token["done"] else "chunk"
                yield f"data: {json.dumps({'type': kind, 'content': token['message']['content']})}\n\n"

    return Response(generate(), mimetype="text/event-stream")
