"""Plain aiohttp, server and client: `async for line`, `json`, and one write per line."""

import json
import os
from collections.abc import AsyncIterator

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

CHAT = f"http://127.0.0.1:{os.environ['OLLAMA']}/api/chat"
CLIENT = web.AppKey("client", ClientSession)


async def client(app: web.Application) -> AsyncIterator[None]:
    connector, timeout = TCPConnector(limit=0), ClientTimeout(total=None)
    async with ClientSession(connector=connector, timeout=timeout) as app[CLIENT]:
        yield


async def stream(request: web.Request) -> web.StreamResponse:
    message = {"role": "user", "content": (await request.json())["message"]}
    body = {"model": "bench", "messages": [message], "stream": True}
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    async with request.app[CLIENT].post(CHAT, json=body) as answer:
        async for line in answer.content:
            token = json.loads(line)
            event = {"type": "done" if token["done"] else "chunk", "content": token["message"]["content"]}
            await response.write(f"data: {json.dumps(event)}\n\n".encode())
    return response


if __name__ == "__main__":
    app = web.Application()
    app.router.add_post("/stream", stream)
    app.cleanup_ctx.append(client)
    loop, port = uvloop.new_event_loop(), int(os.environ["PORT"])
    web.run_app(app, host="127.0.0.1", port=port, loop=loop, access_log=None, print=None)
