"""A code is exchanged for the token once, while it is young, and only if the command has made one."""

from collections.abc import Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, Final

import pytest
from chat_client import Client, Start, mounted
from matrix import matrix

from chatproxy import Config, create_app
from chatproxy.web.api.login import CODE_LIFETIME, LOGIN_CODES, LoginCodes

TOKEN: Final = "correct-horse-battery"
ORIGIN: Final = "https://chat.example"
LOGIN: Final = "/api/login"


class Site:
    """An application that asks for the token."""

    def __init__(self, client: Client, codes: LoginCodes) -> None:
        self.client = client
        self.codes = codes

    async def log_in(self, code: str, *, status: int = 200, **headers: str) -> Any:
        sent = {"Login-Code": code} | headers
        return await self.client.call("POST", LOGIN, status=status, headers=sent)


@pytest.fixture(params=["", "/x/y"], ids=["root", "mounted"])
async def site(start: Start, config: Config, request: pytest.FixtureRequest) -> Site:
    settings: Mapping[str, Any] = {"api_token": TOKEN, "cors_origins": (ORIGIN,)}
    app = create_app(replace(config, **settings))
    prefix = request.param
    server = await start(mounted(app, prefix) if prefix else app, prefix)
    return Site(server.client, app[LOGIN_CODES])


async def test_a_code_is_good_for_one_login(site: Site) -> None:
    code = site.codes.create()
    assert await site.log_in(code) == {"token": TOKEN}
    refusal = await site.log_in(code, status=401)
    assert refusal["code"] == "unauthorized"
    assert "restart chatproxy for a new link" in refusal["error"]


async def test_without_a_code_nothing_is_one(site: Site) -> None:
    with matrix() as cases:
        for code in ("", "0", TOKEN, "\xf6", "a" * 8000):
            refusal = await site.log_in(code, status=401)
            cases.expect("unauthorized", refusal["code"], code[:40])
    await site.client.call("POST", LOGIN, status=401)


async def test_wrong_codes_leave_the_right_one(site: Site) -> None:
    code = site.codes.create()
    for wrong in (code[:-1], f"{code}x", code.swapcase(), ""):
        await site.log_in(wrong, status=401)
    assert await site.log_in(code) == {"token": TOKEN}


async def test_a_code_expires(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    code, now = site.codes.create(), monotonic()
    monkeypatch.setattr("chatproxy.web.api.login.monotonic", lambda: now + CODE_LIFETIME + 1)
    await site.log_in(code, status=401)


async def test_a_new_code_takes_the_place_of_the_one_before(site: Site) -> None:
    first, second = site.codes.create(), site.codes.create()
    await site.log_in(first, status=401)
    assert await site.log_in(second) == {"token": TOKEN}


async def test_a_code_is_not_taken_from_elsewhere(site: Site) -> None:
    """Neither from the address and the body, which are logged, nor from a page on another origin."""
    code = site.codes.create()
    await site.client.call("POST", LOGIN, status=401, params={"code": code})
    await site.client.call("POST", LOGIN, status=401, json={"code": code})
    await site.client.call("GET", LOGIN, status=401, headers={"Login-Code": code})
    await site.log_in(code, status=403, Origin="https://evil.example")
    asking = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "login-code"}
    await site.client.call("OPTIONS", LOGIN, status=403, headers={"Origin": ORIGIN} | asking)
    assert await site.log_in(code) == {"token": TOKEN}


async def test_without_a_token_there_is_no_login(start: Start, config: Config) -> None:
    app = create_app(config)
    site = Site((await start(app)).client, app[LOGIN_CODES])
    await site.log_in(site.codes.create(), status=401)
