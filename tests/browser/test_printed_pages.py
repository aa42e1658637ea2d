"""The HTML that docs/embed.md prints, in a page as it stands."""

import time
from typing import Any

import jwt
import pytest
from browser import ANSWER, FIELD, Site, browser, browser_test, need_marked, site
from readme import example

pytest.importorskip("playwright")
from playwright.async_api import expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

SECRET = "wE5vYqZr8xK2mT9bN4cL7hJ1gF6dS3aP0uQ-oI_"


async def test_a_page_shows_the_element_to_a_user_of_its_own(site: Site) -> None:
    need_marked()
    site.settings["jwt_secret"] = SECRET
    context = await site.context()
    element = example("html", "<chat-interface style").replace("http://127.0.0.1:11435", site.url)
    asked = []

    async def page(route: Any) -> None:
        await route.fulfill(
            body=element + example("html", "/chat-token"), content_type="text/html; charset=utf-8"
        )

    async def token(route: Any) -> None:
        asked.append(route.request.url)
        claims = {"sub": "Ann", "exp": int(time.time()) + 3600}
        await route.fulfill(body=jwt.encode(claims, SECRET, algorithm="HS256"))

    await context.route("**/embedded", page)
    await context.route("**/chat-token", token)
    tab = await site.open("/embedded", context, ready=FIELD)
    await site.ask(tab, "Hello")
    await expect(tab.locator(ANSWER)).to_have_text("Hello from a fake.")
    assert len(asked) == 1
    await tab.close()
