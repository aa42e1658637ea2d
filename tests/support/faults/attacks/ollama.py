"""An Ollama whose answers depend on the first word of the message, and say when they were sent.

`steady`: 30 tokens a second; `flood`: as fast as chatproxy reads; anything else: three tokens. From the first
`liar` on, every answer claims an impossible number of tokens in the prompt. A token is " t" and the monotonic
clock in microseconds, in hex, as `benchmarks.speed.load` reads it.

`python -m faults.attacks.ollama [hanging]` prints its address. With `hanging`, it has 60 more models, and
never says what one of them can do.
"""

import asyncio
import re
import sys
from time import monotonic_ns
from typing import Any, Final

from aiohttp import web
from fake_ollama import NDJSON, last, line

from faults.attacks.child import ready

QUICK: Final = "quick:latest"  # what chatproxy chooses
OTHERS: Final = ("steady:latest", "attacked:latest")
PACE: Final = 1 / 30  # seconds between two tokens
PLAUSIBLE: Final = 30  # tokens in a prompt
IMPOSSIBLE: Final = 2**60
MOST: Final = 200_000  # bytes at the end of a request, in which the last message is
_WORD: Final = re.compile(rb'"content":"(\w+)')


CLAIMED: Final = web.AppKey("CLAIMED", list[int])  # the number of the prompt's tokens in every last line


def _model(name: str, size: str) -> dict[str, Any]:
    details = {"family": "fake", "parameter_size": size, "quantization_level": "Q8_0"}
    return {"name": name, "model": name, "size": 10**9, "digest": name.encode().hex(), "details": details}


def _token() -> bytes:
    return line(message={"role": "assistant", "content": f" t{monotonic_ns() // 1000:012x}"}, done=False)


FLOOD: Final = _token() * 400


async def _chat(request: web.Request) -> web.StreamResponse:
    words = _WORD.findall((await request.read())[-MOST:])
    word = words[-1].decode() if words else ""
    response = web.StreamResponse(headers={"Content-Type": NDJSON})
    await response.prepare(request)
    while word == "steady":
        await response.write(_token())
        await asyncio.sleep(PACE)
    while word == "flood":
        await response.write(FLOOD)
        await asyncio.sleep(0)
    if word == "liar":
        request.app[CLAIMED][:] = [IMPOSSIBLE]
    (tokens,) = request.app[CLAIMED]
    await response.write(_token() * 3 + last(prompt_eval_count=tokens))
    return response


def _app(hanging: bool) -> web.Application:
    models = [_model(QUICK, "1M"), *(_model(name, "1B") for name in OTHERS)]
    if hanging:
        models += [_model(f"one-of-sixty-{number}:latest", "2B") for number in range(60)]

    async def tags(request: web.Request) -> web.Response:
        return web.json_response({"models": models})

    async def running(request: web.Request) -> web.Response:
        return web.json_response({"models": [models[0] | {"context_length": 1_000_000, "size_vram": 10**9}]})

    async def show(request: web.Request) -> web.Response:
        name = (await request.json())["model"]
        if name == models[-1]["name"] and hanging:
            await asyncio.Event().wait()
        information = {"general.architecture": "fake", "fake.context_length": 1_000_000}
        modelfile = f"FROM /models/sha256-{name}"
        return web.json_response(
            {"capabilities": ["completion", "vision"], "model_info": information, "modelfile": modelfile}
        )

    async def version(request: web.Request) -> web.Response:
        return web.json_response({"version": "0.0.0"})

    app = web.Application(client_max_size=1024**3)
    app[CLAIMED] = [PLAUSIBLE]
    app.router.add_post("/api/chat", _chat)
    app.router.add_get("/api/tags", tags)
    app.router.add_get("/api/ps", running)
    app.router.add_post("/api/show", show)
    app.router.add_get("/api/version", version)
    return app


async def main(hanging: bool) -> None:
    runner = web.AppRunner(_app(hanging), access_log=None, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    await ready(f"http://127.0.0.1:{runner.addresses[0][1]}")
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main("hanging" in sys.argv))
