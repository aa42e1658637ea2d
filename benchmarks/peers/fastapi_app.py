"""FastAPI, httpx and sse-starlette: `aiter_lines` into an `EventSourceResponse`."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from fastapi import FastAPI
from pydantic import BaseModel
from sse_starlette import EventSourceResponse

CHAT = f"http://127.0.0.1:{os.environ['OLLAMA']}/api/chat"


class StreamRequest(BaseModel):
    message: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.post("/stream")
async def stream(send: StreamRequest) -> EventSourceResponse:
    body = {"model": "bench", "messages": [{"role": "user", "content": send.message}], "stream": True}

    async def generate() -> AsyncIterator[dict[str, str]]:
        async with app.state.client.stream("POST", CHAT, json=body) as answer:
            async for line in answer.aiter_lines():
                token = json.loads(line)
                kind = "done" if token["done"] else "chunk"
                yield {"data": json.dumps({"type": kind, "content": token["message"]["content"]})}

    return EventSourceResponse(generate())
