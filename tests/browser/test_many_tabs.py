"""Over HTTP/1.1, a browser has six connections to a server for all its tabs; answers leave some to others."""

from typing import Any

import pytest
from browser import ANSWER, BUTTON, Site, browser, browser_test, site, until
from fake_ollama import Gate, Script, answer

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

TEXT = "One two three four five six seven eight nine ten"
# These pages are told whether they are seen, because for this browser all are.
WATCHED = """
let hidden = false;
Object.defineProperty(document, "hidden", { get: () => hidden });
addEventListener("test-hide", ({ detail }) => {
  hidden = detail;
  document.dispatchEvent(new Event("visibilitychange"));
});
globalThis.ends = [];
for (const type of ["chat-done", "chat-error"])
  addEventListener(type, ({ detail }) => ends.push([type, detail.content]));
"""
NO_LOCKS = "Object.defineProperty(Navigator.prototype, 'locks', { value: undefined });"
HTTP2 = """
const { getEntriesByType } = Performance.prototype;
Performance.prototype.getEntriesByType = function (type) {
  return getEntriesByType.call(this, type).map(({ name }) => ({ name, nextHopProtocol: "h2" }));
};
"""
# Starts many answers in one page with the client alone.
CLIENT = """async ([count, method]) => {
  const { createChatClient } = await import("/static/chat-client.js");
  const client = (globalThis.client = createChatClient());
  globalThis.texts = [];
  globalThis.ended = [];
  globalThis.sessions = [];
  for (let index = 0; index < count; index++) {
    const { id } = await client.sessions.create({});
    sessions.push(id);
    texts.push("");
    const request = { message: `${method} ${index}` };
    if (method === "sendMessage") {
      client.sendMessage(id, request).then(({ fullResponse }) => ended.push(fullResponse));
    } else {
      const add = (text) => (texts[index] += text);
      const end = (full) => ended.push(full === texts[index] ? full : "differs");
      client.sendMessageStream(id, request, add, end);
    }
  }
}"""
STOP = """async () => {
  const { messages } = await client.messages.list(sessions[6]);
  return (await client.messages.cancel(sessions[6], messages[1].id)).status;
}"""


def held_back(site: Site, words: int = 2) -> Gate:
    """Let each answer go on as far as the test lets all of them."""
    gates: list[Gate] = []

    class Gates(Gate):
        def let(self, number: float = 1) -> None:
            for gate in gates:
                gate.let(number)

    def script(_: Any) -> Script:
        gates.append(gate := Gate())
        gate.let(words)
        return Script(answer(TEXT), gate=gate)

    site.fake.script = script
    return Gates()


async def show(page: Page, seen: bool) -> None:
    await page.evaluate("seen => dispatchEvent(new CustomEvent('test-hide', { detail: !seen }))", seen)


async def test_eight_tabs_load_and_stop_and_end(site: Site) -> None:
    site.settings["ollama_num_parallel"] = 7  # so that one waits in the queue
    gate = held_back(site)
    context = await site.context()
    tabs = []
    for number in range(8):
        tabs.append(await site.open(context=context, script=WATCHED))
        await site.ask(tabs[-1], f"Number {number}")
        if number < 7:
            await expect(tabs[-1].locator(ANSWER)).to_have_text("One two")
    await tabs[0].locator(f"{BUTTON}[data-action=stop]").click()
    await expect(tabs[0].locator(f"{BUTTON}[data-action=send]")).to_be_visible(timeout=3000)
    await expect(tabs[7].locator(ANSWER)).to_have_text("One two")  # it has left the queue
    gate.let(1)
    for tab in tabs[1:]:
        await expect(tab.locator(ANSWER)).to_have_text("One two three")
    gate.open()
    for tab in tabs[1:]:
        await until(tab, "ends.length > 0")
        assert await tab.evaluate("ends") == [["chat-done", TEXT]]
        await expect(tab.locator(ANSWER)).to_have_text(TEXT)
    assert await tabs[0].evaluate("ends") == [["chat-done", "One two"]]


@pytest.mark.parametrize("script", ["", NO_LOCKS])
async def test_hidden_tabs_let_go_for_one_that_is_seen(site: Site, script: str) -> None:
    """It goes on live; the hidden ones hear of the end all the same, and go on when they are seen."""
    site.settings |= {"ollama_num_parallel": 8, "disconnect_grace_seconds": 1}
    gate = held_back(site)
    context = await site.context()
    tabs = [await site.open("/docs", context, script + WATCHED, ready="h1") for _ in range(5)]
    for tab in tabs:
        await tab.evaluate(CLIENT, [1, "sendMessageStream"])
        await until(tab, "texts[0] === 'One two'")
        await show(tab, tab == tabs[4])
    requests: list[str] = []
    tabs[4].on("request", lambda request: requests.append(request.url))
    for number in range(3, 6):
        gate.let(1)
        await until(tabs[4], "text => texts[0] === text", " ".join(TEXT.split()[:number]))
    assert requests == []
    assert any("away=90" in url for url in site.requests)
    await show(tabs[0], True)
    await until(tabs[0], "text => texts[0] === text", " ".join(TEXT.split()[:5]))
    gate.open()
    for tab in tabs:
        await until(tab, "ended.length > 0")
        assert await tab.evaluate("[ended, texts]") == [[TEXT], [TEXT]]


@pytest.mark.parametrize("method", ["sendMessageStream", "sendMessage"])
@pytest.mark.parametrize("script", ["", NO_LOCKS])
async def test_seven_answers_in_one_page(site: Site, method: str, script: str) -> None:
    """With the client alone, streaming or not: other requests get through, and all ends are exact."""
    site.settings["ollama_num_parallel"] = 8
    gate = held_back(site)
    page = await site.open("/docs", ready="h1", script=script)
    await page.evaluate(CLIENT, [7, method])
    if method == "sendMessageStream":
        await until(page, "texts.every((text) => text === 'One two')")
    await site.fake.arrived(7)
    stopped = await page.evaluate(STOP)
    assert stopped == "cancelled"
    gate.open()
    await until(page, "ended.length === 7")
    assert sorted(await page.evaluate("ended")) == sorted(["One two", *[TEXT] * 6])


async def test_over_http_2_every_answer_stays_connected(site: Site) -> None:
    """The server here speaks HTTP/1.1, so five are as many as can be tried beside one more request."""
    site.settings["ollama_num_parallel"] = 8
    gate = held_back(site)
    page = await site.open("/docs", ready="h1", script=HTTP2)
    await page.evaluate(CLIENT, [5, "sendMessageStream"])
    await until(page, "texts.every((text) => text === 'One two')")
    gate.open()
    await until(page, "ended.length === 5")
    assert not any("away=" in url for url in site.requests)
