"""Markdown as DOM nodes, whole and streamed, in a real browser's DOM."""

# Scripts and Markdown read better in one line.
# ruff: noqa: E501

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from browser import Site, browser, browser_test, need_marked, standing

pytest.importorskip("playwright")
from playwright.async_api import Browser, Page

__all__ = ["browser"]  # the fixture
pytestmark = [pytest.mark.browser, browser_test]

MODULES = """
const { StreamingMarkdown } = await import("./static/element/streaming-markdown.js");
const { loadLexer, safeUrl } = await import("./static/element/markdown.js");
const { labels } = await import("./static/element/labels.js");
const newLexer = await loadLexer();
const due = new Map(); // frames are rendered when the test says so
let last = 0;
window.requestAnimationFrame = (draw) => (due.set((last += 1), draw), last);
window.cancelAnimationFrame = (id) => due.delete(id);
const frame = () => { for (const [id, draw] of [...due]) { due.delete(id); draw(); } };
const begin = (lexer = newLexer()) => {
  const box = document.body.appendChild(document.createElement("div"));
  return { box, stream: new StreamingMarkdown(box, lexer, { labels }) };
};
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def site(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    async with standing(browser, tmp_path_factory.mktemp("markdown")) as site:
        yield site


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def page(site: Site) -> Page:
    """One page for all tests: each renders into an element of its own."""
    need_marked()
    return await site.open()


async def run(page: Page, body: str, argument: Any = None) -> Any:
    return await page.evaluate(f"async (given) => {{ {MODULES} {body} }}", argument)


async def html(page: Page, text: str) -> str:
    body = "const { box, stream } = begin(); stream.append(given); stream.finish(); return box.innerHTML;"
    return str(await run(page, body, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a **b** *c* ~~d~~ `e`", "<p>a <strong>b</strong> <em>c</em> <del>d</del> <code>e</code></p>"),
        ("# One\n\n## Two", "<h3>One</h3><h4>Two</h4>"),
        ("> a\n> b", '<blockquote dir="auto"><p>a\nb</p></blockquote>'),
        ("- a\n- b\n  1. c", '<ul dir="auto"><li>a</li><li>b<ol dir="auto"><li>c</li></ol></li></ul>'),
        ("3. a\n4. b", '<ol dir="auto" start="3"><li>a</li><li>b</li></ol>'),
        ("- [ ] a\n- [x] b", '<ul dir="auto"><li class="task">☐ a</li><li class="task">☑ b</li></ul>'),
        ("a  \nb\n\n---", "<p>a<br>b</p><hr>"),
        ("a\\*b &amp; &#8364; &lt;b&gt;", "<p>a*b &amp; € &lt;b&gt;</p>"),
        ("<b>x</b>", "<p>&lt;b&gt;x&lt;/b&gt;</p>"),
        ("<script>x</script>\n", '<p class="plain">&lt;script&gt;x&lt;/script&gt;</p>'),
        ("[r]\n\n[r]: http://x.org", '<p><a href="http://x.org/" target="_blank" rel="noopener noreferrer nofollow">r</a></p>'),
    ],
)  # fmt: skip
async def test_markdown_renders_as(page: Page, text: str, expected: str) -> None:
    assert await html(page, text) == expected


async def test_a_table_is_aligned_in_a_scrolling_box(page: Page) -> None:
    rendered = await html(page, "| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    assert '<div class="table" tabindex="0"' in rendered
    assert '<th class="align-left">a</th><th class="align-right">b</th>' in rendered
    assert '<td class="align-right">2</td>' in rendered


async def test_code_shows_its_language_and_keeps_every_character(page: Page) -> None:
    code = "if a < b && c:\n\tprint('<b>')  "
    rendered = await run(
        page,
        "const { box, stream } = begin(); stream.append(given); stream.finish();"
        "return [box.querySelector('.code-head span').textContent, box.querySelector('code').textContent];",
        f"```python x\n{code}\n```",
    )
    assert rendered == ["python", code]


async def test_links_have_allowed_schemes(page: Page) -> None:
    given = [
        "http://a.org/", "https://a.org/?q=1", "mailto:a@b.org", "HTTPS://A.ORG",
        "javascript:alert(1)", "JaVaScRiPt:alert(1)", "java\tscript:alert(1)", "\x01javascript:alert(1)",
        "javascript&colon;alert(1)", "&#106;avascript:alert(1)", "data:text/html,x", "vbscript:x", "file:///etc",
        "blob:http://a.org/1", "//a.org", "/path", "#fragment", "ftp://a.org", "",
    ]  # fmt: skip
    safe = await run(page, "return given.map(safeUrl);", given)
    assert safe[:4] == ["http://a.org/", "https://a.org/?q=1", "mailto:a@b.org", "https://a.org/"]
    assert safe[4:] == [None] * (len(given) - 4)
    assert await html(page, "[x](javascript:alert(1))") == "<p>[x](javascript:alert(1))</p>"


async def test_images_become_links(page: Page, site: Site) -> None:
    rendered = await html(page, "![a cat](https://example.org/cat.png)")
    assert "<img" not in rendered
    assert (
        '<a href="https://example.org/cat.png" target="_blank" rel="noopener noreferrer nofollow">🖼 a cat</a>'
        in rendered
    )
    assert not any("example.org" in url for url in site.requests)


DOCUMENT = """# Title

A paragraph with **bold**, `code`, [a link](https://a.org) and
a second line.\r\nAnd a third.

Setext
======

- one
- two

  still two
- three
  - nested

1. a

2. b

> quote
> more

| a | b |
|---|---|
| 1 | 2 |

```js
const a = 1;

const b = 2;
```

    indented

    more

~~~
tilde
~~~

<div>
html
</div>

Last *words*"""


async def test_any_pieces_render_the_same(page: Page) -> None:
    """One character per frame, and pieces of many sizes."""
    differences = await run(
        page,
        """
        const whole = begin(); whole.stream.append(given); whole.stream.finish();
        const wrong = [];
        for (const size of [1, 2, 3, 5, 7, 11, 17, 40, 100]) {
          const { box, stream } = begin();
          for (let at = 0; at < given.length; at += size) {
            stream.append(given.slice(at, at + size));
            if (size > 1 || at % 2) frame();
          }
          stream.finish();
          if (box.innerHTML !== whole.box.innerHTML) wrong.push([size, box.innerHTML, whole.box.innerHTML]);
        }
        return wrong;
        """,
        DOCUMENT,
    )
    assert differences == []


async def test_complete_blocks_are_final_and_a_frame_lexes_once(page: Page) -> None:
    seen = await run(
        page,
        """
        const lexer = newLexer();
        const lexed = [];
        const { box, stream } = begin({ lex: (text) => (lexed.push(text.length), lexer.lex(text)) });
        stream.append("# One\\n\\nTwo\\n\\nThree\\n\\nFour"); frame(); frame();
        const frozen = [...box.children].slice(0, 2);
        const before = lexed.length;
        for (let count = 0; count < 50; count += 1) stream.append(" word");
        frame(); frame();
        const lexedOnce = lexed.length - before;
        for (let count = 0; count < 20; count += 1) { stream.append("\\n\\nMore " + count); frame(); }
        return [frozen.every((node, index) => node === box.children[index]), lexedOnce, Math.max(...lexed.slice(-10))];
        """,
    )
    untouched, lexed_once, longest = seen
    assert untouched
    assert lexed_once == 1
    assert longest < 400


async def test_a_long_text_is_grouped_and_renders_the_same(page: Page) -> None:
    """Groups have at most 64 blocks and do not end before a heading: its margin collapses with the block above."""
    seen = await run(
        page,
        """
        const parts = Array.from({ length: 400 }, (_, n) => n % 64 ? `Paragraph ${n}\\n\\n` : `# Heading ${n}\\n\\n`);
        const whole = begin(); whole.stream.append(parts.join("")); whole.stream.finish();
        while (due.size) frame();
        const { box, stream } = begin();
        for (const part of parts) { stream.append(part); frame(); }
        const groups = [...box.querySelectorAll(".group")];
        const sizes = groups.map((group) => group.children.length);
        const beforeHeadings = groups.filter((group) => group.nextElementSibling.matches("h3, h4, h5, h6, hr")).length;
        stream.finish();
        const loose = box.children.length - groups.length;
        for (const group of groups) group.replaceWith(...group.childNodes);
        return [sizes, beforeHeadings, loose, whole.box.querySelectorAll(".group").length,
          box.innerHTML === whole.box.innerHTML];
        """,
    )
    sizes, before_headings, loose, of_the_whole, same = seen
    assert len(sizes) == 5
    assert all(60 <= size <= 64 for size in sizes)
    assert before_headings == 0
    assert loose == 400 - sum(sizes)
    assert of_the_whole == 0
    assert same


async def test_a_growing_block_keeps_focus_selection_and_buttons(page: Page) -> None:
    """A button that says "Copied" keeps saying so; the end of the text changes nothing."""
    seen = await run(
        page,
        """
        const copied = [];
        const box = document.body.appendChild(document.createElement("div"));
        const copy = (text, button) => { copied.push(text); button.textContent = "Copied"; };
        const stream = new StreamingMarkdown(box, newLexer(), { labels, copy });
        stream.append("Look:\\n\\n```py\\nprint(1)"); frame();
        const button = box.querySelector("button");
        const pre = box.querySelector("pre");
        pre.focus();
        const { firstChild } = box.querySelector("code");
        getSelection().setBaseAndExtent(firstChild, 0, firstChild, 5);
        button.click();
        stream.append("\\nprint(2)\\n```\\n"); frame();
        const selected = String(getSelection());
        button.click();
        const changes = [];
        const watch = new MutationObserver((records) => changes.push(...records));
        watch.observe(box, { childList: true, subtree: true, characterData: true, attributes: true });
        stream.finish(); stream.finish();
        for (let count = 0; count < 3; count += 1) frame();
        changes.push(...watch.takeRecords());
        return [copied, button === box.querySelector("button"), button.textContent, document.activeElement === pre, selected, changes.length];
        """,
    )
    assert seen == [["print(1)", "print(1)\nprint(2)"], True, "Copied", True, "print", 0]


@pytest.mark.parametrize(
    ("opening", "line", "closing", "selector"),
    [
        ("```js\n", "const a = 1;\n\n", "```\n", "code"),
        ("", "- an item\n\n", "", "li"),
        ("", "word ", "", "p"),
    ],
)
async def test_a_long_block_grows_as_plain_text_in_linear_time(
    page: Page, opening: str, line: str, closing: str, selector: str
) -> None:
    text = opening + line * 2500 + closing + "\n\nAnd then.\n"
    seen = await run(
        page,
        """
        const lexer = newLexer();
        let lexed = 0;
        const { box, stream } = begin({ lex: (text) => (lexed += text.length, lexer.lex(text)) });
        for (let at = 0; at < given.text.length; at += 400) { stream.append(given.text.slice(at, at + 400)); frame(); }
        const during = box.textContent.length;
        stream.finish();
        const whole = begin(); whole.stream.append(given.text); whole.stream.finish();
        while (due.size) frame();
        return { lexed, during, same: box.innerHTML === whole.box.innerHTML, nodes: box.querySelectorAll(given.selector).length };
        """,
        {"text": text, "selector": selector},
    )
    assert seen["same"]
    assert seen["nodes"] >= 1
    assert seen["during"] > len(text) * 0.5  # it was visible while it grew
    assert seen["lexed"] < 14 * len(text)  # 43 times and more if it were lexed in every frame


@pytest.mark.parametrize(
    "text", [">" * 20_000, "> " * 20_000, "- " * 9_000 + "x", "[" * 8_000, "*a " * 3_000, "![" * 4_000]
)
async def test_endless_nesting_is_plain_text(page: Page, text: str) -> None:
    rendered = await run(
        page,
        "const { box, stream } = begin(); stream.append(given); stream.finish();"
        "for (let count = 0; count < 9; count += 1) frame();"
        "return [box.textContent.length, box.querySelectorAll('*').length];",
        text,
    )
    assert rendered[0] > 1000
    assert rendered[1] < 5000


async def test_plain_streaming_grows_one_text_node(page: Page) -> None:
    rendered = await run(
        page,
        """
        const { StreamingPlain } = await import("./static/element/streaming-markdown.js");
        const box = document.createElement("div");
        const stream = new StreamingPlain(box);
        const nodes = () => [...box.firstChild.childNodes].filter(({ data }) => data);
        stream.append("**a**");
        const [node] = nodes();
        for (const word of ["\\n<b>", " c"]) stream.append(word);
        stream.finish();
        return [box.textContent, box.querySelectorAll("*").length, nodes().length === 1 && nodes()[0] === node];
        """,
    )
    assert rendered == ["**a**\n<b> c", 1, True]
