"""Code with colours, whole and streamed, in a real browser's DOM."""

# Scripts and code read better in one line.
# ruff: noqa: E501

import asyncio
from typing import Any

import pytest
from browser import ANSWER, Site, browser, browser_test, need_marked, serious
from fake_ollama import Gate, Script, answer, token

pytest.importorskip("playwright")
import markdown_page
from markdown_page import page, site
from playwright.async_api import Page, Route, expect

__all__ = ["browser", "page", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

SCRIPT = """
const { tokens } = await import("./static/markdown/code-view.js");
await (await tokens.load()).loadMode("js");
let frames = 0;
const frame = async () => { for (const draw of due.splice(0)) draw((frames += 1)); await null; };
const rest = async () => { while (due.length) await frame(); };
const begin = (copy) => {
  const box = document.body.appendChild(document.createElement("div"));
  return { box, stream: new StreamingMarkdown(box, newLexer(), { labels, copy }) };
};
const whole = async (text) => { const { box, stream } = begin(); stream.append(text); stream.finish(); await rest(); return box; };
const kinds = (box) => [...box.querySelectorAll("pre [class^=code-]")].map((span) => [span.className.replace("code-", ""), span.textContent.trim()]);
"""


async def run(page: Page, body: str, argument: Any = None) -> Any:
    return await markdown_page.run(page, SCRIPT + body, argument)


LANGUAGES = {
    "python": ("def f(x):\n    return 'a' # b", {"keyword", "definition", "string", "comment"}),
    "py": ("x = 1", {"number"}),
    "js": ("const a = `b`; // c", {"keyword", "string", "comment"}),
    "jsx": ("const a = 1;", {"keyword", "number"}),
    "ts": ("let a: number = 1;", {"keyword", "type", "number"}),
    "tsx": ("let a = 'x';", {"keyword", "string"}),
    "json": ('{"a": [1, true]}', {"property", "number"}),
    "html": ("<p class='x'>y</p>\n<script>let a = 1; if (a < 2) { b(); }</script>\n<style>a { color: red }</style>", {"tag", "property", "string", "keyword", "number"}),
    "css": ("a { color: #fff; }", {"property", "number"}),
    "scss": ("$a: 1px; // b", {"comment", "number"}),
    "php": ("$a = 'b'; // c\nfunction f() {}", {"property", "string", "comment", "keyword"}),
    "bash": ("for a in *; do echo \"$a\"; done # b", {"keyword", "string", "comment"}),
    "sh": ("if true; then echo 'x'; fi", {"keyword", "string"}),
    "console": ("$ ls # x", {"comment"}),
    "ps1": ("function f { $a = 'b' } # c", {"keyword", "string", "comment"}),
    "sql": ("SELECT a FROM b WHERE c = 'd' -- e", {"keyword", "string", "comment"}),
    "yml": ("a: 'b' # c", {"string", "comment"}),
    "toml": ("a = 'b' # c", {"property", "string", "comment"}),
    "ini": ("[a]\nb = c ; d", {"definition"}),
    "xml": ("<a b='c'><!-- d --></a>", {"tag", "property", "string", "comment"}),
    "c": ("int a = 1; /* b */", {"type", "number", "comment"}),
    "c++": ("#include <a>\nclass B { int c; };", {"meta", "keyword", "type"}),
    "c#": ("public class A { string b = \"c\"; }", {"keyword", "string"}),
    "java": ("class A { int b = 1; } // c", {"keyword", "type", "number", "comment"}),
    "kotlin": ("fun a(): Int = 1 // b", {"keyword", "number", "comment"}),
    "swift": ("let a: Int = 1 // b", {"keyword", "number", "comment"}),
    "go": ("func a() { return \"b\" } // c", {"keyword", "string", "comment"}),
    "rust": ("fn a() -> u8 { 1 } // b", {"keyword", "number", "comment"}),
    "ruby": ("def a\n  'b' # c\nend", {"keyword", "string", "comment"}),
    "perl": ("my $a = 'b'; # c", {"definition", "string", "comment"}),
    "lua": ("local a = 'b' -- c", {"keyword", "string", "comment"}),
    "r": ("a <- function(b) 'c' # d", {"keyword", "string", "comment"}),
    "julia": ("function a() 1 end # b", {"keyword", "number", "comment"}),
    "scala": ("def a = \"b\" // c", {"keyword", "string", "comment"}),
    "dart": ("var a = 'b'; // c", {"type", "string", "comment"}),
    "haskell": ("a = 1 -- b", {"number", "comment"}),
    "dockerfile": ("FROM a\n# b\nRUN c", {"keyword", "comment"}),
    "makefile": ("a: b # c\n\techo \"d\"", {"comment", "string"}),
    "nginx": ("server { listen 80; } # a", {"comment"}),
    "diff": ("-a\n+b\n@@ c", {"deleted", "inserted", "meta"}),
    "latex": ("\\begin{a} % b", {"comment"}),
    "proto": ("message A { int32 b = 1; } // c", {"keyword", "comment"}),
    "cmake": ("set(A 1) # b", {"comment"}),
    "groovy": ("def a = 'b' // c", {"keyword", "string", "comment"}),
    "objc": ("int a = 1; // b", {"type", "number", "comment"}),
    "matlab": ("a = 1; % b", {"number", "comment"}),
    "vb": ("Dim a As Integer ' b", {"keyword", "comment"}),
    "Python title=x": ("x = 1", {"number"}),
    "{.python}": ("x = 1", {"number"}),
}  # fmt: skip


async def test_languages_are_known_by_the_names_that_models_use(page: Page) -> None:
    """Whatever the language, every character stays what it is."""
    seen = await run(
        page,
        """
        const seen = [];
        for (const [name, code] of given) {
          const box = await whole("```" + name + "\\n" + code + "\\n```");
          seen.push([name, box.querySelector("code").textContent === code, kinds(box).map(([kind]) => kind)]);
        }
        return seen;
        """,
        [[name, code] for name, (code, _) in LANGUAGES.items()],
    )
    assert [name for name, same, _ in seen if not same] == []
    missing = [(name, LANGUAGES[name][1] - set(found)) for name, _, found in seen]
    assert [(name, kinds) for name, kinds in missing if kinds] == []


async def test_unknown_languages_are_plain(page: Page) -> None:
    for info in ("", "text", "foo", "constructor", "__proto__", "mermaid"):
        assert await run(page, "return kinds(await whole(given));", f"```{info}\nclass A\n```") == []


CODE = '''```python
import os
text = """a
class is no keyword here

def nor here
"""
# comment
def f(x):
    return {"a": [1, 2.5]}
```

- in a list
  ```js
  /* a
  const */
  const b = 1;
  ```

```html
<script>
// it's
let a = `x
y`;
</script>
```
'''


async def test_any_pieces_have_the_same_colours(page: Page) -> None:
    differences = await run(
        page,
        """
        const expected = (await whole(given)).innerHTML;
        const wrong = [];
        for (const size of [1, 2, 3, 7, 17, 100]) {
          const { box, stream } = begin();
          for (let at = 0; at < given.length; at += size) { stream.append(given.slice(at, at + size)); await frame(); }
          stream.finish(); await rest();
          if (box.innerHTML !== expected) wrong.push([size, box.innerHTML, expected]);
        }
        return wrong;
        """,
        CODE,
    )
    assert differences == []


async def test_what_has_a_colour_keeps_it_while_the_code_grows(page: Page) -> None:
    """The nodes of complete lines stay, and with them a selection; no frame shows them without colours."""
    seen = await run(
        page,
        """
        const { box, stream } = begin();
        stream.append("```python\\ndef f(x):\\n    return 1\\n# one\\n# two\\n"); await frame(); await frame();
        const first = box.querySelector("pre [class^=code-]");
        getSelection().setBaseAndExtent(first.firstChild, 0, first.firstChild, 3);
        const changes = [];
        const watch = new MutationObserver((records) => changes.push(...records));
        watch.observe(first, { childList: true, characterData: true, subtree: true });
        const counts = [];
        for (const letter of "class A:\\n    x = 'y'\\n".repeat(20) + "```\\n\\nEnd") {
          stream.append(letter); await frame();
          counts.push(kinds(box).length);
        }
        changes.push(...watch.takeRecords());
        const fewer = counts.filter((count, index) => index && count < counts[index - 1] - 1).length;
        return [first.isConnected, String(getSelection()), changes.length, fewer, counts.at(-1) > 60];
        """,
    )
    assert seen == [True, "def", 0, 0, True]


@pytest.mark.parametrize("opening", ["", "- item\n\n"])
async def test_parts_of_long_code_go_on_with_their_colours(page: Page, opening: str) -> None:
    """A string that spans parts is one in each; copied as one."""
    indent = "  " if opening else ""
    lines = [
        'text = """',
        *(f"class {number} is no keyword" for number in range(3000)),
        '"""',
        "class A: pass",
    ]
    code = "\n".join(indent + line for line in ["```python", *lines, "```"])
    seen = await run(
        page,
        """
        const copied = [];
        const { box, stream } = begin((text) => copied.push(text));
        for (let at = 0; at < given.length; at += 1000) { stream.append(given.slice(at, at + 1000)); await frame(); }
        stream.finish(); await rest();
        const codes = [...box.querySelectorAll("code")];
        box.querySelector(".code:not(.continued) button").click();
        return [codes.length, kinds(box).filter(([kind]) => kind === "keyword"), copied, kinds(box).filter(([kind]) => kind === "string").length];
        """,
        opening + code,
    )
    assert seen[0] > 2
    assert seen[1] == [["keyword", "class"], ["keyword", "pass"]]
    assert seen[2] == ["\n".join(lines)]
    assert seen[3] == 3002


async def test_a_selection_of_code_is_copied_as_it_was_written(site: Site) -> None:
    need_marked()
    page = await site.open(permissions=["clipboard-read", "clipboard-write"])
    lines = "\n".join(f"def f_{number}(x):\n\n    return 'a'  # b" for number in range(40))
    site.fake.script = Script(answer(f"```python\n{lines}\n```"))
    await site.ask(page, "One")
    await expect(page.locator(f"{ANSWER} .code-definition")).to_have_count(40)
    await page.evaluate(
        """() => {
          const code = document.querySelector("chat-interface").shadowRoot.querySelector("pre code");
          getSelection().selectAllChildren(code);
        }"""
    )
    await page.keyboard.press("Control+c")
    assert await page.evaluate("navigator.clipboard.readText()") == lines


async def test_long_code_costs_as_much_as_it_is_long(page: Page) -> None:
    """What the library reads grows with the code: lines are read once, and the last two again with each step."""
    seen = await run(
        page,
        """
        const { languages } = await import("./static/vendor/languages.js");
        const cost = async (line, count) => {
          const { token } = languages.javascript;
          let read = 0;
          languages.javascript.token = function (stream, state) { read += 1; return token.call(this, stream, state); };
          const { box, stream } = begin();
          stream.append("```js\\n" + line.repeat(count) + "```\\n"); stream.finish(); await rest();
          languages.javascript.token = token;
          const spans = box.querySelectorAll("pre [class^=code-]").length;
          box.remove();
          return [read, spans];
        };
        const lines = ["const a = [1, 'b']; // c\\n", "x".repeat(50) + "(1);", "'" + "a ".repeat(2000) + "'\\n"];
        return Promise.all([[0, 5000], [1, 1000], [2, 20]].map(async ([line, count]) => [await cost(lines[line], count), await cost(lines[line], 2 * count)]));
        """,
    )
    for (once, _), (twice, _) in seen:
        assert twice < 2.3 * once + 100
    (read, spans), _ = seen[0]
    assert spans == 5000 * 5
    assert read < 5000 * 40


COLOURS = """() => {
  const root = document.querySelector("chat-interface").shadowRoot;
  const luminance = (colour) => {
    const parts = colour.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255);
    const [red, green, blue] = parts.map((part) => (part <= 0.03928 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4));
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, two) => {
    const [dark, light] = [luminance(one), luminance(two)].sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const code = root.querySelector("pre code");
  const grounds = ["--bg", "--soft"].map((name) => {
    const probe = code.appendChild(document.createElement("span"));
    probe.style.background = `var(${name})`;
    const { backgroundColor } = getComputedStyle(probe);
    probe.remove();
    return backgroundColor;
  });
  const kinds = "keyword string number comment definition type tag property meta inserted deleted".split(" ");
  return kinds.map((kind) => {
    const span = code.appendChild(document.createElement("span"));
    span.className = `code-${kind}`;
    const { color } = getComputedStyle(span);
    span.remove();
    return [kind, Math.min(...grounds.map((ground) => contrast(color, ground)))];
  });
}"""


async def test_every_colour_can_be_read(site: Site) -> None:
    """In both colour schemes, on the ground of answers and on that of questions; with forced colours, there are none."""
    need_marked()
    for scheme in ("light", "dark"):
        page = await site.open(color_scheme=scheme)
        site.fake.script = Script(answer("```python\ndef f(x): return 'a' # b\n```"))
        await site.ask(page, "One")
        await expect(page.locator(f"{ANSWER} .code-comment")).to_have_text("# b")
        contrasts = await page.evaluate(COLOURS)
        assert len({kind for kind, _ in contrasts}) == 11
        assert [(kind, contrast) for kind, contrast in contrasts if contrast < 4.5] == []
        assert await serious(page) == []
        await page.emulate_media(forced_colors="active")
        colours = await page.evaluate(
            "() => [...document.querySelector('chat-interface').shadowRoot.querySelectorAll('pre code, pre span')].map((each) => getComputedStyle(each).color)"
        )
        assert len(set(colours)) == 1


async def test_the_library_is_loaded_with_the_first_known_language(site: Site) -> None:
    """Code that was shown before it came gets its colours then, in blocks that are complete, too."""
    need_marked()
    page = await site.open()
    site.requests.clear()
    site.fake.script = Script(answer("```\nplain\n```\n\n```foo\nx\n```\n\n`code`"))
    await site.ask(page, "One")
    await expect(page.locator(f"{ANSWER} p code")).to_have_text("code")
    assert not [url for url in site.requests if "languages" in url or "temml" in url]
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/*languages*", hold)
    site.fake.script = Script(
        [token("```js\nlet a;\n```\n\n```js\nlet b"), *answer(" = 1;\n```")], gate=(gate := Gate())
    )
    gate.let(1)
    await site.ask(page, "Two")
    code = page.locator(ANSWER).last.locator("pre code")
    await expect(code.last).to_have_text("let b")
    held.set()
    await expect(code.first.locator(".code-keyword")).to_have_text("let")
    await expect(code.last.locator(".code-keyword")).to_have_text("let")
    gate.open()
    await expect(code.last.locator(".code-number")).to_have_text("1")
    assert len([url for url in site.requests if "languages" in url]) == 1
    assert not [url for url in site.requests if "temml" in url]
