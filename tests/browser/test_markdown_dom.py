"""Markdown as DOM nodes, whole and streamed, in a real browser's DOM."""

# Scripts and Markdown read better in one line. Characters of other scripts are what is tested.
# ruff: noqa: E501, RUF001

import re
from typing import Any

import pytest
from browser import Site, browser, browser_test

pytest.importorskip("playwright")
import markdown_page
from markdown_page import page, site
from playwright.async_api import Page

__all__ = ["browser", "page", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

SCRIPT = """
const { safeUrl } = await import("./static/markdown/markdown.js");
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
SHOW = (
    "(text) => { const { box, stream } = begin();"
    "stream.append(text); stream.finish(); rest(); return contents(box); }"
)


async def run(page: Page, body: str, argument: Any = None) -> Any:
    return await markdown_page.run(page, SCRIPT + body, argument)


async def html(page: Page, text: str) -> str:
    body = "const { box, stream } = begin(); stream.append(given); stream.finish(); rest(); return contents(box);"
    return str(await run(page, body, text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a **b** *c* ~~d~~ `e`", '<p>a <strong>b</strong> <em>c</em> <del>d</del> <code dir="ltr">e</code></p>'),
        ("# One\n\n## Two", "<h3>One</h3><h4>Two</h4>"),
        ("> a\n> b", '<blockquote dir="auto"><p>a<br>b</p></blockquote>'),
        ("- a\n- b\n  1. c", '<ul dir="auto"><li>a</li><li>b<ol dir="auto"><li>c</li></ol></li></ul>'),
        ("3. a\n4. b", '<ol dir="auto" start="3"><li>a</li><li>b</li></ol>'),
        ("- [ ] a\n- [x] b", '<ul dir="auto"><li class="task">☐ a</li><li class="task">☑ b</li></ul>'),
        ("a  \nb\n\n---", "<p>a<br>b</p><hr>"),
        ("C:\\path\\* \\*b\\*", "<p>C:\\path\\* *b*</p>"),
        ("a\\*b &amp; &#8364; &lt;b&gt;", "<p>a*b &amp; € &lt;b&gt;</p>"),
        ("<em>x</em>", "<p><em>x</em></p>"),
        ("<div>x</div> <x-y>", '<p class="plain">&lt;div&gt;x&lt;/div&gt; &lt;x-y&gt;</p>'),
        ("<script>x</script>\n", '<p class="plain">&lt;script&gt;x&lt;/script&gt;</p>'),
        ("[r]\n\n[r]: http://x.org", '<p><a href="http://x.org/" target="_blank" rel="noopener noreferrer nofollow">r</a></p>'),
    ],
)  # fmt: skip
async def test_markdown_renders_as(page: Page, text: str, expected: str) -> None:
    assert await html(page, text) == expected


async def test_a_table_is_aligned_in_a_scrolling_box(page: Page) -> None:
    rendered = await html(page, "| a | b |\n|:--|--:|\n| 1 | 2 |\n")
    assert '<div class="table" tabindex="0"' in rendered
    assert '<th class="align-left short">a</th><th class="align-right short">b</th>' in rendered
    assert '<td class="align-right short">2</td>' in rendered


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
    "details": (
        "<details>\n<summary>S</summary>\n\n" + numbered("- item N\n") + "\n</details>\n",
        "details li",
    ),
    "details of words": ("<details>\n<summary>S</summary>\n" + numbered("word N "), "details p"),
    "code in Markdown": ("```markdown\n```js\n" + numbered("const a = N;\n") + "```\n```\n", "code"),
    "footnote": ("[^1]: first\n" + numbered("    word N\n"), ".footnote p"),
    "tags": (numbered("<b>a N</b> "), "b"),
    "comment without an end": ("<!-- " + numbered("line N\n"), "p"),
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
          for (const repeated of copy.querySelectorAll(".code-head, .continued > table > thead, .continued > summary")) repeated.remove();
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


SAME = [  # text that is no Markdown, though it looks like some
    "2*3*4", "a*b*c", "5*5=25 and 6*6=36", "(a)*(b)*(c)", "2**3**4", "x**2 + y**2", "2**n and 2**m", "M*A*S*H",
    "*args and **kwargs", "def f(*args, **kwargs): pass", "char **argv, int *p", "int *p, *q;", "COUNT(*), SUM(*)",
    "*.js, src/*.ts", "src/**/*.js and test/**/*.js", "src/* and test/*", "*.*", ".*foo.*", "/*comment*/ and /* more */",
    "__init__", "__name__ == \"__main__\"", "__init__.py and __main__.py", "obj.__custom__()", "__FILE__", "__my_name__",
    "snake_case_name", "x_1 + y_1", "_private and _other", "a_b_c", "file_name_1.txt", "C:\\path\\*", "C:\\a\\_b and C:\\*",
    "~100 to ~200", "3~5 days, costs 100~200 euros", "~/bin and ~/lib", "5~10、3~4", "a ~ b ~ c", "4* hotels and 5* hotels",
    "用户_id和订单_id都", "the <b> tag makes bold", "a </b> c", "List<String> and Map<K,V>", "a < b > c", "xhttps://a.org/b",
]  # fmt: skip


async def test_what_is_no_markdown_stays_as_it_is(page: Page) -> None:
    seen = await run(page, f"const shown = {SHOW}; return given.map(shown);", SAME)
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;") for text in SAME]
    assert seen == [f"<p>{text}</p>" for text in escaped]


MEANT = [
    # Emphasis beside the punctuation of scripts without spaces
    ("这是**「重要」**的内容。**加粗内容。**后续", "这是<strong>「重要」</strong>的内容。<strong>加粗内容。</strong>后续"),
    ("*「重要」*的", "<em>「重要」</em>的"), ("***「重」***的", "<em><strong>「重」</strong></em>的"),
    ("这是__「重要」__的", "这是<strong>「重要」</strong>的"), ("~~删除。~~的", "<del>删除。</del>的"),
    ("これは**「強調」**です。", "これは<strong>「強調」</strong>です。"),
    ("**サーバー(server)**は", "<strong>サーバー(server)</strong>は"), ("他说**“好”**。", "他说<strong>“好”</strong>。"),
    ('**"강조"**입니다', '<strong>"강조"</strong>입니다'), ("**서울(Seoul)**은", "<strong>서울(Seoul)</strong>은"),
    ("**ข้อความ (สำคัญ)**ที่", "<strong>ข้อความ (สำคัญ)</strong>ที่"), ("**注意：**请", "<strong>注意：</strong>请"),
    # Emphasis as ever
    ("*a* **b** ***c*** _d_ __e__ ~~f~~", "<em>a</em> <strong>b</strong> <em><strong>c</strong></em> <em>d</em> <strong>e</strong> <del>f</del>"),
    ("**a *b* c** *d **e** f*", "<strong>a <em>b</em> c</strong> <em>d <strong>e</strong> f</em>"),
    ("**H**yper**T**ext", "<strong>H</strong>yper<strong>T</strong>ext"),
    ("**a**, *b*. (**c**) “**d**”", "<strong>a</strong>, <em>b</em>. (<strong>c</strong>) “<strong>d</strong>”"),
    ("**and**/**or** *Note*[1]", "<strong>and</strong>/<strong>or</strong> <em>Note</em>[1]"),
    ("2*3 *em* 4*5 **kwargs: **bold**", "2*3 <em>em</em> 4*5 **kwargs: <strong>bold</strong>"),
    # Tags
    ("one<br>two<BR/>three<br />\nfour", "one<br>two<br>three<br>four"), ("<br>\nx", "<br>x"),
    ("H<sub>2</sub>O, x<sup>*2*</sup>, <kbd>Ctrl</kbd>", "H<sub>2</sub>O, x<sup><em>2</em></sup>, <kbd>Ctrl</kbd>"),
    ("<B CLASS='x' onclick=y>a</B> <u>b</u> <s>c</s> <mark>d</mark>", "<b>a</b> <u>b</u> <s>c</s> <mark>d</mark>"),
    ("<b><i>x</i></b> <b><i>y</b></i>", "<b><i>x</i></b> <b>&lt;i&gt;y</b>&lt;/i&gt;"),
    ("**use <b> here** <div>", "<strong>use &lt;b&gt; here</strong> &lt;div&gt;"),
    ("a<!-- **no** -->b", "ab"),
    # Line ends
    ("Jane Doe\n12 High Street\n`London`", 'Jane Doe<br>12 High Street<br><code dir="ltr">London</code>'),
    ("Name: x\nAge:  y  \nz\\\nend", "Name: x<br>Age:  y<br>z<br>end"),
    (
        "Prose that was wrapped at a fixed width goes on in its next line,\nwhich is about as long as the one before, as everyone would expect.\nNames too.",
        "Prose that was wrapped at a fixed width goes on in its next line,\nwhich is about as long as the one before, as everyone would expect.\nNames too.",
    ),
    # Character references
    ("&hellip; &#8364; &#x20AC; \\&copy; &amp;lt; &#38;lt; &nosuch; &Uacute", "… € € &amp;copy; &amp;lt; &amp;lt; &amp;nosuch; &amp;Uacute"),
    ("&CounterClockwiseContourIntegral; &NotEqualTilde;x", "∳ ≂̸x"),
]  # fmt: skip


async def test_syntax_as_models_write_it(page: Page) -> None:
    await run(page, "await (await import('./static/markdown/entities.js')).loadNames('&NotEqualTilde;');")
    texts = [text for text, _ in MEANT]
    seen = await run(page, f"const shown = {SHOW}; return given.map(shown);", texts)
    assert dict(zip(texts, seen, strict=True)) == {text: f"<p>{expected}</p>" for text, expected in MEANT}


async def test_bare_urls_end_where_readers_see_it(page: Page) -> None:
    """The text, and what is a link in it."""
    cases = {
        "请看https://a.org/docs。": ["https://a.org/docs"],
        "https://a.org/x，https://a.org/y）（https://a.org/z）「https://a.org/q」": ["https://a.org/x", "https://a.org/y", "https://a.org/z", "https://a.org/q"],
        "请访问https://a.org/docs查看 https://a.org에서": ["https://a.org/docs", "https://a.org"],
        "https://zh.wikipedia.org/wiki/中国 https://ru.wikipedia.org/wiki/Россия,": ["https://zh.wikipedia.org/wiki/中国", "https://ru.wikipedia.org/wiki/Россия"],
        "(see https://a.org/a_(b)), https://a.org/?a=1&b=2. http://localhost:11434/api!": ["https://a.org/a_(b)", "https://a.org/?a=1&b=2", "http://localhost:11434/api"],
        "**https://a.org/x** _https://a.org/y_ https://a.org/a*b*c_d_e": ["https://a.org/x", "https://a.org/y", "https://a.org/a*b*c_d_e"],
        "www.a.org。 邮箱support@a.org。 <https://a.org>": ["www.a.org", "support@a.org", "https://a.org"],
        "[https://a.org](https://a.org/x)， [b](https://a.org)。 `https://a.org` https://": ["https://a.org", "b"],
    }  # fmt: skip
    seen = await run(
        page,
        "return given.map((text) => { const { box, stream } = begin(); stream.append(text); stream.finish(); rest();"
        "return [...box.querySelectorAll('a')].map((link) => link.textContent); });",
        list(cases),
    )
    assert dict(zip(cases, seen, strict=True)) == cases


F = "```"
CODE = [  # the text, all code in it, and whether a paragraph "end" is behind that
    (f"{F}markdown\n# T\n\n{F}bash\nnpm i\n{F}\n\nmore\n{F}\n\nend", [f"# T\n\n{F}bash\nnpm i\n{F}\n\nmore"]),
    (f"{F}md\n# T\n\n{F}\ntree/\n{F}\n\nmore\n{F}\n\nend", [f"# T\n\n{F}\ntree/\n{F}\n\nmore"]),
    (f"{F}`markdown\n{F}js\nx\n{F}\n{F}`\nend", [f"{F}js\nx\n{F}"]),
    (f"~~~markdown\n{F}js\nx\n{F}\n~~~\nend", [f"{F}js\nx\n{F}"]),
    (f"{F}bash\ncat <<E\n{F}js\nx\n{F}\nE\n{F}\nend", [f"cat <<E\n{F}js\nx\n{F}\nE"]),
    (f"- a\n\n  {F}md\n  {F}js\n  x\n  {F}\n  {F}\n\nend", [f"{F}js\nx\n{F}"]),
    (f"> {F}js\n> x\n> {F}\n\nend", ["x"]),
    (f"{F}js\nx\n{F}\ny\n\n{F}\nz\n{F}\nend", ["x", "z"]),
    (f"  {F}js\n  a\n    b\n  {F}\nend", ["a\n  b"]),
    (f"{F}\n\n{F}\nend", [""]),
    (f"{F}js\nx\n\n\nend", ["x\n\n\nend"]),
    (f"1. a\n   {F}sh\nnpm i\n    x\n   {F}\n\nend", ["npm i\n    x"]),
    (f"1. a\n   {F}sh\n   npm i\n{F}\n\nend", ["npm i"]),
    (f"- {F}py\ndef f():\n    return 1\n\nx\n{F}\n- b\n\nend", ["def f():\n    return 1\n\nx"]),
    (f"1. a\n   {F}js\n   x\n2. b\n\n{F}py\ny\n{F}\nend", ["x", "y"]),
]


async def test_code_ends_at_its_own_fence(page: Page) -> None:
    seen = await run(
        page,
        "return given.map((text) => { const { box, stream } = begin();"
        "for (const letter of text) { stream.append(letter); frame(); } stream.finish(); rest();"
        "return [[...box.querySelectorAll('code')].map((code) => code.textContent), box.querySelector(':scope > div > p:last-child')?.textContent]; });",
        [text for text, _ in CODE],
    )
    for (text, code), (shown, behind) in zip(CODE, seen, strict=True):
        assert shown == code, text
        assert behind == (None if code[-1].endswith("end") else "end"), text


async def test_details_and_comments(page: Page) -> None:
    cases = {
        "<details>\n<summary>S <b>x</b></summary>\n\n- a\n\n</details>\n\nend": '<details><summary>S <b>x</b></summary><ul dir="auto"><li>a</li></ul></details><p>end</p>',
        '<DETAILS open class="x"><SUMMARY>S</SUMMARY>one</DETAILS>\nend': "<details><summary>S</summary><p>one</p></details><p>end</p>",
        "<details><summary>A</summary>\n<details><summary>B</summary>\n\nin\n\n</details>\n\nout\n</details>": "<details><summary>A</summary><details><summary>B</summary><p>in</p></details><p>out</p></details>",
        "<details>\n<summary>S</summary>\n\nunclosed\n\nmore": "<details><summary>S</summary><p>unclosed</p><p>more</p></details>",
        "<details>\n\n`</details>`\n\n</details>": '<details><p><code dir="ltr">&lt;/details&gt;</code></p></details>',
        "| a |\n|-|\n| <details><summary>s</summary>t</details> <ul><li>x</li></ul> |": None,
        "a\n<!-- b\n\nc -->\nd": "<p>a</p><p>d</p>",
        "<!-- open": '<p class="plain">&lt;!-- open</p>',
    }
    seen = await run(page, f"const shown = {SHOW}; return given.map(shown);", list(cases))
    for (text, expected), shown in zip(cases.items(), seen, strict=True):
        assert expected in (None, shown), text
    assert '<td class="short"><details><summary>s</summary>t</details> <ul><li>x</li></ul></td>' in seen[5]


async def test_details_stay_open_while_they_grow(page: Page) -> None:
    seen = await run(
        page,
        """
        const { box, stream } = begin();
        stream.append("<details><summary>S</summary>\\n\\none"); frame();
        const details = box.querySelector("details");
        details.open = true;
        stream.append(" two\\n\\nthree\\n\\n</details>\\n\\nend"); stream.finish(); rest();
        return [details.isConnected, details.open, details.textContent];
        """,
    )
    assert seen == [True, True, "Sone twothree"]


async def test_footnotes_are_linked_both_ways(page: Page) -> None:
    """Also before the note is there; without ids, so that two messages cannot collide."""
    seen = await run(
        page,
        """
        const { box, stream } = begin();
        stream.append("A[^1] b[^none] [^a\\\\] [x][^1](http://x.org)\\n\\nand\\n\\n"); frame(); frame();
        const before = box.textContent;
        stream.append("[^1]: The *note*\\n    goes on.\\n[^2]: Two\\n\\nend[^2]"); stream.finish(); rest();
        const [reference, later] = box.querySelectorAll(".footnote-reference a");
        const note = box.querySelector(".footnote");
        reference.click();
        const there = box.getRootNode().activeElement === note;
        note.querySelector("a").click();
        const back = document.activeElement === reference;
        return { before, text: box.textContent, there, back, later: later.textContent, ids: box.querySelectorAll("[id]").length };
        """,
    )
    assert seen["before"].startswith("A[^1] b[^none]")
    assert seen["text"].startswith("A1 b[^none]")
    assert seen["text"].endswith("1The notegoes on.2Twoend2")
    assert (seen["there"], seen["back"], seen["later"], seen["ids"]) == (True, True, "2", 0)


async def test_technical_words_keep_their_direction(page: Page) -> None:
    """Each character is left of the next one, whatever is around."""
    words = [
        "--amend",
        "</slot>",
        "foo(bar);",
        "https://a.org/b/",
        "main.py",
        "v2.0-beta",
        "2024-01-15",
        "-5",
        "C++",
    ]
    backticked = [f"`{word}`" if index < 3 else word for index, word in enumerate(words)]
    seen = await run(
        page,
        """
        const { box, stream } = begin();
        stream.append(given); stream.finish(); rest();
        const isolated = box.querySelectorAll("[dir=ltr]");
        return [...isolated].map(({ firstChild: text }) => {
          const left = (index) => { const r = document.createRange(); r.setStart(text, index); r.setEnd(text, index + 1); return r.getBoundingClientRect().left };
          return [text.data, [...text.data].map((c, index) => [left(index), c]).sort((a, b) => a[0] - b[0]).map(([, c]) => c).join("")];
        });
        """,
        " ثم ".join(["استخدم", *backticked, "نعم"]),
    )
    assert seen == [[word, word] for word in words]


async def test_a_wide_column_leaves_room_for_the_others(page: Page) -> None:
    """In the element, whose styles count: no date or name is broken, and the first column is not squeezed."""
    text = (
        "| Programming language | Since | What it is good for |\n|---|--:|---|\n"
        f"| Python | 1991-02-20 | {'a long text that goes on ' * 20} |\n| Very long name indeed | 1 234,56 | {'x ' * 200} |\n"
    )
    seen = await run(
        page,
        """
        const log = document.querySelector("chat-interface").shadowRoot.querySelector(".column");
        const box = log.appendChild(document.createElement("div"));
        box.className = "content";
        box.style.inlineSize = "40rem";
        const stream = new StreamingMarkdown(box, newLexer(), { labels });
        stream.append(given); stream.finish(); rest();
        const lines = (cell) => { const r = document.createRange(); r.selectNodeContents(cell); return new Set([...r.getClientRects()].map(({ top }) => top)).size };
        const [, first, second] = [...box.querySelectorAll("tr")].map((row) => [...row.cells].slice(0, 2).map(lines));
        const fits = box.querySelector("table").offsetWidth <= box.offsetWidth;
        box.remove();
        return [first, second, fits];
        """,
        text,
    )
    assert seen == [[1, 1], [1, 1], True]


MIXED = (
    "Intro[^1] ~5 **「重」**的 2*3*4 &nbsp;x <b>bold</b> __init__\nline two\n\n<details>\n<summary>S</summary>\n\n- a\n  <br>\n\n"
    f"{F}js\nx\n{F}\n</details>\n\n<!-- c\n\nd -->\n| a | b |\n|---|---|\n| x<br>y | <kbd>z</kbd> |\n\n"
    f"{F}markdown\n# T\n\n{F}\ntree/\n{F}\n\n{F}bash\nx\n{F}\n{F}\n\n[^1]: Note https://a.org/b。\n    more\n\nend[^1] <sub>a\n\n<!-- open"
)


@pytest.mark.parametrize("times", [1, 12])
async def test_any_pieces_of_the_syntax_render_the_same(page: Page, times: int) -> None:
    differences = await run(
        page,
        """
        const { text, times } = given;
        const whole = begin(); whole.stream.append(text); whole.stream.finish(); rest();
        let seed = 7;
        const random = () => (seed = (seed * 16807) % 2147483647) / 2147483647;
        const wrong = [];
        for (let round = 0; round < 4; round += 1) {
          const { box, stream } = begin();
          for (let at = 0; at < text.length; ) {
            const next = at + times + Math.floor(random() * times * 40 * round);
            stream.append(text.slice(at, next)); frame(); at = next;
          }
          stream.finish(); rest();
          if (contents(box) !== contents(whole.box)) wrong.push([round, contents(box), contents(whole.box)]);
        }
        return wrong;
        """,
        {"text": (MIXED.removesuffix("<!-- open") + "\n\n") * (times - 1) + MIXED, "times": times},
    )
    assert differences == []


async def test_readers_code_is_code_and_the_rest_as_typed(page: Page) -> None:
    typed = (
        f"Fix **this**:\n\n{F}py\nprint('*a*')\n\n  x\n{F}\n  and `a*b`,\n\n\n<b>no</b> &amp; [^1]\n~~~\nopen"
    )
    seen = await run(
        page,
        """
        const { typedLexer } = await import("./static/markdown/typed-lexer.js");
        const shown = (sizes) => {
          const { box, stream } = begin(typedLexer);
          for (let at = 0; at < given.length; at += sizes) { stream.append(given.slice(at, at + sizes)); frame(); }
          stream.finish(); rest();
          return box;
        };
        const box = shown(given.length);
        const parts = [...box.firstChild.children].map((part) => part.querySelector("pre")?.textContent ?? part.innerHTML);
        return [parts, contents(shown(1)) === contents(box)];
        """,
        typed,
    )
    assert seen == [
        [
            "Fix **this**:\n\n",
            "print('*a*')\n\n  x",
            '  and <code dir="ltr">a*b</code>,\n\n\n&lt;b&gt;no&lt;/b&gt; &amp;amp; [^1]\n',
            "open",
        ],
        True,
    ]
