"""Markdown as DOM nodes, whole and streamed, in a real browser's DOM."""

# Scripts and Markdown read better in one line.
# ruff: noqa: E501

import re
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
const { StreamingMarkdown } = await import("./static/markdown/streaming-markdown.js");
const { loadLexer } = await import("./static/markdown/lexer.js");
const { safeUrl } = await import("./static/markdown/markdown.js");
const { labels } = await import("./static/element/labels.js");
const newLexer = await loadLexer();
const due = []; // frames are rendered when the test says so
window.requestAnimationFrame = (draw) => due.push(draw);
const frame = () => { for (const draw of due.splice(0)) draw(window.frames_drawn = (window.frames_drawn ?? 0) + 1); };
const rest = () => { while (due.length) frame(); };
const contents = (box) => {
  const copy = box.cloneNode(true);
  for (const group of copy.querySelectorAll(".group")) group.replaceWith(...group.childNodes);
  return copy.innerHTML;
};
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
    body = "const { box, stream } = begin(); stream.append(given); stream.finish(); rest(); return contents(box);"
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
        ("C:\\path\\* \\*b\\*", "<p>C:\\path\\* *b*</p>"),
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
        "const { box, stream } = begin(); stream.append(given); stream.finish(); rest();"
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
        const whole = begin(); whole.stream.append(given); whole.stream.finish(); rest();
        const wrong = [];
        for (const size of [1, 2, 3, 5, 7, 11, 17, 40, 100]) {
          const { box, stream } = begin();
          for (let at = 0; at < given.length; at += size) {
            stream.append(given.slice(at, at + size));
            if (size > 1 || at % 2) frame();
          }
          stream.finish();
          rest();
          if (contents(box) !== contents(whole.box)) wrong.push([size, contents(box), contents(whole.box)]);
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
        const frozen = [...box.firstChild.children].slice(0, 2);
        const before = lexed.length;
        for (let count = 0; count < 50; count += 1) stream.append(" word");
        frame(); frame();
        const lexedOnce = lexed.length - before;
        for (let count = 0; count < 20; count += 1) { stream.append("\\n\\nMore " + count); frame(); }
        return [frozen.every((node, index) => node === box.firstChild.children[index]), lexedOnce, Math.max(...lexed.slice(-10))];
        """,
    )
    untouched, lexed_once, longest = seen
    assert untouched
    assert lexed_once == 1
    assert longest < 400


async def test_a_long_text_is_grouped_and_renders_the_same(page: Page) -> None:
    """The browser skips complete groups, but only from the frame after the one that laid them out."""
    seen = await run(
        page,
        """
        const parts = Array.from({ length: 400 }, (_, n) => n % 64 ? `Paragraph ${n}\\n\\n` : `# Heading ${n}\\n\\n`);
        const whole = begin(); whole.stream.append(parts.join("")); whole.stream.finish(); rest();
        const { box, stream } = begin();
        const early = [];
        for (const part of parts) {
          const before = box.children.length;
          stream.append(part); frame();
          if (box.children.length > before && before) early.push(box.children[before - 1].matches(".complete"));
        }
        stream.finish(); rest();
        const groups = [...box.children];
        return {
          early: early.some(Boolean), sizes: groups.map((group) => group.textContent.length),
          complete: groups.map((group) => group.matches(".complete")), same: contents(box) === contents(whole.box),
        };
        """,
    )
    assert len(seen["sizes"]) > 2
    assert all(size < 4096 for size in seen["sizes"])
    assert seen["complete"] == [True] * (len(seen["sizes"]) - 1) + [False]
    assert not seen["early"]
    assert seen["same"]


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
        rest();
        changes.push(...watch.takeRecords());
        return [copied, button === box.querySelector("button"), button.textContent, document.activeElement === pre, selected, changes.length];
        """,
    )
    assert seen == [["print(1)", "print(1)\nprint(2)"], True, "Copied", True, "print", 0]


def numbered(line: str, count: int = 2500) -> str:
    return "".join(line.replace("N", str(number)) for number in range(1, count + 1))


LONG_BLOCKS = {
    "list": (numbered("- item N\n"), "li"),
    "loose list": (numbered("- item N\n\n"), "li"),
    "ordered list": (numbered("N. item\n"), "li"),
    "list numbered with ones": (numbered("1. item N\n"), "li"),
    "task list": (numbered("- [ ] item N\n"), "li"),
    "nested list": ("- top\n" + numbered("  - item N\n"), "li li"),
    "list in an ordered list": ("1. one\n2. top\n" + numbered("   - item N\n"), "ol li li"),
    "list in a quote": (numbered("> - item N\n"), "blockquote li"),
    "items with code": (numbered("- item N\n  ```\n  x\n  ```\n"), "li code"),
    "table": ("| a | b |\n|---|--:|\n" + numbered("| N | 2 |\n"), "tbody tr"),
    "hard breaks": (numbered("line N  \n"), "br"),
    "quote": (numbered("> line N\n"), "blockquote"),
    "code": ("```js\n" + numbered("const a = N;\n\n") + "```\n", "code"),
    "code in a list": ("- item\n\n  ```js\n" + numbered("  const a = N;\n") + "  ```\n", "li code"),
    "indented code": (numbered("    const a = N;\n"), "code"),
    "paragraphs": (numbered("paragraph N\n\n"), "p"),
    "one line": (numbered("word N "), "p"),
    "one word": ("\U0001f44b" * 20_000, "p"),
    "one line in a list": ("- " + numbered("word N "), "li"),
    "lazy lines": ("- item\n" + numbered("line N\n"), "p"),
    "emphasis": (numbered("*a N* "), "p"),
    "emphasis without an end": ("*_a " * 8_000, "p"),
    "definitions": (numbered("[aN]: http://b.c\n") + "[a1]\n", "a"),
    "empty lines": ("a" + "\n" * 20_000 + "b\n", "p"),
}


@pytest.mark.parametrize("name", LONG_BLOCKS)
async def test_a_long_block_costs_as_much_as_it_is_long(page: Page, name: str) -> None:
    """What the lexer is given while the text grows, in all, is in proportion; nothing is missing or out of order."""
    text, selector = LONG_BLOCKS[name]
    seen = await run(
        page,
        """
        const lexer = newLexer();
        const lexed = [];
        const { box, stream } = begin({ lex: (text) => (lexed.push(text.length), lexer.lex(text)) });
        for (let at = 0; at < given.text.length; at += 400) { stream.append(given.text.slice(at, at + 400)); frame(); }
        stream.finish(); rest();
        const whole = begin(); whole.stream.append(given.text); whole.stream.finish(); rest();
        const words = (box) => {
          const copy = box.cloneNode(true);
          for (const repeated of copy.querySelectorAll(".code-head, .continued > table > thead")) repeated.remove();
          return copy.textContent.replace(/\\s/g, "");
        };
        return {
          longest: Math.max(...lexed), lexed: lexed.reduce((sum, length) => sum + length, 0),
          same: words(box) === words(whole.box), words: words(box), nodes: box.querySelectorAll(given.selector).length,
          numbers: [...box.querySelectorAll("ol")].map((list) => list.start),
          elements: Math.max(...[...box.children].map((group) => group.querySelectorAll("*").length)),
        };
        """,
        {"text": text, "selector": selector},
    )
    assert seen["same"]
    assert seen["nodes"] >= 1
    assert seen["longest"] < 36_000
    assert seen["lexed"] < 90 * len(text)
    assert seen["elements"] < 6_000
    numbers = [int(number) for number in re.findall(r"(?:item|line|word|paragraph|a=|a)(\d+)", seen["words"])]
    if "N" not in name and numbers and name != "definitions":
        assert numbers == list(range(1, 2501))


async def test_a_long_list_goes_on_with_its_next_number(page: Page) -> None:
    for line in ("N. item\n", "1. item\n"):
        parts = await run(
            page,
            "const { box, stream } = begin(); stream.append(given); stream.finish(); rest();"
            "return [...box.querySelectorAll('ol')].map((list) => [list.start, list.children.length]);",
            "Text\n\n" + numbered(line),
        )
        assert len(parts) > 5
        starts = [start for start, _ in parts]
        assert starts == [1 + sum(size for _, size in parts[:index]) for index in range(len(parts))]


@pytest.mark.parametrize(
    "code",
    [
        "\n".join(f"const a{number} = {number};" for number in range(5_000)),
        "\n\n".join(f"const a{number} = {number};" for number in range(5_000)),
        "(){}[]" * 16_000,
        "word " * 16_000 + "\nend",
    ],
)
async def test_long_code_is_copied_as_one(page: Page, code: str) -> None:
    seen = await run(
        page,
        """
        const copied = [];
        const box = document.body.appendChild(document.createElement("div"));
        const stream = new StreamingMarkdown(box, newLexer(), { labels, copy: (text) => copied.push(text) });
        stream.append(given); stream.finish(); rest();
        for (const button of box.querySelectorAll(".code:not(.continued) button")) button.click();
        return [copied, box.querySelectorAll("code").length];
        """,
        f"```js\n{code}\n```\n\n```\nanother\n```\n",
    )
    assert seen[0] == [code, "another"]
    assert seen[1] > 2


async def test_a_definition_counts_when_it_is_complete(page: Page) -> None:
    rendered = await run(
        page,
        """
        const { box, stream } = begin();
        for (const letter of given) { stream.append(letter); frame(); }
        stream.finish(); rest();
        return box.querySelector("a").href;
        """,
        "[r]: http://example.org/long\n\nSee [r].\n",
    )
    assert rendered == "http://example.org/long"


@pytest.mark.parametrize(
    "text", [">" * 20_000, "> " * 20_000, "- " * 9_000 + "x", "[" * 8_000, "*a " * 3_000, "![" * 4_000]
)
async def test_endless_nesting_is_plain_text(page: Page, text: str) -> None:
    rendered = await run(
        page,
        "const { box, stream } = begin(); stream.append(given); stream.finish(); rest();"
        "return [box.textContent.length, box.querySelectorAll('*').length];",
        text,
    )
    assert rendered[0] > 1000
    assert rendered[1] < 5000


async def test_plain_streaming_grows_one_text_node(page: Page) -> None:
    rendered = await run(
        page,
        """
        const { StreamingPlain } = await import("./static/markdown/streaming-plain.js");
        const box = document.createElement("div");
        const stream = new StreamingPlain(box);
        stream.append("**a**"); frame();
        const [node] = box.firstChild.childNodes;
        for (const word of ["\\n<b>", " c"]) { stream.append(word); frame(); }
        return [box.textContent, box.querySelectorAll("*").length, box.firstChild.childNodes.length === 1, node.data];
        """,
    )
    assert rendered == ["**a**\n<b> c", 1, True, "**a**\n<b> c"]


@pytest.mark.parametrize(
    "text", [numbered("line N\n", 5000), numbered("word N ", 5000), "\U0001f44b" * 20_000]
)
async def test_long_plain_text_is_in_parts_that_lose_nothing(page: Page, text: str) -> None:
    rendered = await run(
        page,
        """
        const { StreamingPlain } = await import("./static/markdown/streaming-plain.js");
        const box = document.body.appendChild(document.createElement("div"));
        const stream = new StreamingPlain(box);
        for (let at = 0; at < given.length; at += 333) { stream.append(given.slice(at, at + 333)); frame(); }
        rest();
        return [box.textContent === given, Math.max(...[...box.children].map((part) => part.textContent.length))];
        """,
        text,
    )
    assert rendered[0]
    assert rendered[1] < 8_192
