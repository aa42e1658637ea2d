"""Formulas: what is one, how it is set, and that nothing in it is Markdown, in a real browser's DOM."""

# Scripts and formulas read better in one line.
# ruff: noqa: E501, RUF001

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
let frames = 0;
const frame = () => { for (const draw of due.splice(0)) draw((frames += 1)); };
const rest = () => { while (due.length) frame(); };
const begin = (lexer = newLexer()) => {
  const box = document.body.appendChild(document.createElement("div"));
  return { box, stream: new StreamingMarkdown(box, lexer, { labels }) };
};
const whole = (text) => { const { box, stream } = begin(); stream.append(text); stream.finish(); rest(); return box; };
// Each formula as `⟨TeX⟩`, one on lines of its own as `⟦TeX⟧`.
const marked = (box) => {
  const copy = box.cloneNode(true);
  for (const formula of copy.querySelectorAll(".formula")) {
    const [open, close] = formula.matches(".display") ? "⟦⟧" : "⟨⟩";
    formula.replaceWith(open + (formula.dataset.source ?? `…${formula.textContent}`) + close);
  }
  return [...copy.querySelectorAll(".group")].map((group) => group.innerHTML).join("");
};
const loaded = async () => {
  const probe = whole("$x$");
  while (!probe.querySelector("math")) { await new Promise((done) => setTimeout(done, 10)); rest(); }
};
"""


async def run(page: Page, body: str, argument: Any = None) -> Any:
    return await markdown_page.run(page, SCRIPT + body, argument)


FORMULAS = {
    r"So \(a * b * c\), \(a_1\) and \(a_2\).": r"<p>So ⟨\(a * b * c\)⟩, ⟨\(a_1\)⟩ and ⟨\(a_2\)⟩.</p>",
    r"\[ \{x\} \]": r"⟦\[ \{x\} \]⟧",
    "$$\\int_0^1 x\\,dx$$": r"⟦$$\int_0^1 x\,dx$$⟧",
    "So $$a*b*c$$ it": r"<p>So ⟦$$a*b*c$$⟧ it</p>",
    "Let $a*b*c$ be.": "<p>Let ⟨$a*b*c$⟩ be.</p>",
    "So\n\\[\nx = 1\n\n+ 2\n- 3\n= 4\n\\]\nand": "<p>So</p>⟦\\[\nx = 1\n\n+ 2\n- 3\n= 4\n\\]⟧<p>and</p>",
    "$$\n# x\n> y\n$$": "⟦$$\n# x\n&gt; y\n$$⟧",
    "It is\n\n$$x$$.": "<p>It is</p>⟦$$x$$.⟧",
    "\\begin{align}\na &= b \\\\\n&= c\n\\end{align}": "⟦\\begin{align}\na &amp;= b \\\\\n&amp;= c\n\\end{align}⟧",
    "1. One\n   \\[\n   a\n   + b\n   \\]\n2. Two": '<ol dir="auto"><li>One⟦\\[\na\n+ b\n\\]⟧</li><li>Two</li></ol>',
    "1. One\n\\[\na\n+ b\n\\]\n2. Two": '<ol dir="auto"><li>One</li></ol>⟦\\[\na\n+ b\n\\]⟧<ol dir="auto" start="2"><li>Two</li></ol>',
    "- $a_1$ and $a_2$\n- **$x$**: *y*": '<ul dir="auto"><li>⟨$a_1$⟩ and ⟨$a_2$⟩</li><li><strong>⟨$x$⟩</strong>: <em>y</em></li></ul>',
    "# $E = mc^2$": "<h3>⟨$E = mc^2$⟩</h3>",
    "> $x$\n> $$y$$": '<blockquote dir="auto"><p>⟨$x$⟩</p>⟦$$y$$⟧</blockquote>',
    "**a $b*c$ d** *e $f*g$ h*": "<p><strong>a ⟨$b*c$⟩ d</strong> <em>e ⟨$f*g$⟩ h</em></p>",
    "设$x$为实数，则$x^2$。": "<p>设⟨$x$⟩为实数，则⟨$x^2$⟩。</p>",
    "公式\\(x\\)和\\[y\\]。": "<p>公式⟨\\(x\\)⟩和⟦\\[y\\]⟧。</p>",
    "the $n$th, $i$-th, two $x$s": "<p>the ⟨$n$⟩th, ⟨$i$⟩-th, two ⟨$x$⟩s</p>",
    "$\\$5$ and $5$": "<p>⟨$\\$5$⟩ and ⟨$5$⟩</p>",
    "($x$), $y$, [$z$]": "<p>(⟨$x$⟩), ⟨$y$⟩, [⟨$z$⟩]</p>",
    "$2x + 3 = 7$ if $x = 2$": "<p>⟨$2x + 3 = 7$⟩ if ⟨$x = 2$⟩</p>",
    "$\\text{if it rains} \\to x$": "<p>⟨$\\text{if it rains} \\to x$⟩</p>",
    "$[0, 1)$ and $f(x)$": "<p>⟨$[0, 1)$⟩ and ⟨$f(x)$⟩</p>",
    "$`a_1`$": "<p>⟨$`a_1`$⟩</p>",
    "\\(a \\\\[2pt] b\\)": "<p>⟨\\(a \\\\[2pt] b\\)⟩</p>",
    "| a | b |\n|---|---|\n| $|x|$ | \\(P(A|B)\\) |": '⟨$|x|$⟩</td><td class="short">⟨\\(P(A|B)\\)⟩</td>',
}  # fmt: skip
PLAIN = [
    "It costs $5 and $6.", "$5, $6, $7", "$5-$6", "$5–$6", "$5/$6", "between $1,000-$2,000", "US$5 and US$6", "A$ and C$",
    "costs 5$ and 6$", "$5 in 2020 and 10$ now", "$5 for two, 10$", "价格为$5，涨到$6。", "$10k to 20k$", "pay $5 (US$)",
    "$HOME/bin:$PATH", "$HOME and $PATH", "${HOME}/${USER}", "$(pwd)-$(date)", "$HOME is set and $USER is not$",
    "$AAPL, $TSLA", "$a = $b;", "$foo->bar($baz)", "$_GET and $_POST", "$$ to $$$", "$ 5 $", "a $ b $ c", "100$", "$", "$$", "$$$",
    "\\$5 and \\$6", "$5 \\ $6", "$x", "$5-star hotel for 100$", "echo $? and $!",
]  # fmt: skip
CODE = [
    "`$x$`",
    "``\\(x\\)``",
    "```\n$x$\n\\[y\\]\n```",
    "    \\[ x \\]",
    "$5 and the `$` sign",
    "`$a` and `$b`",
]


async def test_formulas_are_left_alone_by_markdown(page: Page) -> None:
    shown = await run(page, "return given.map((text) => marked(whole(text)));", list(FORMULAS))
    wrong = [
        (text, seen)
        for (text, expected), seen in zip(FORMULAS.items(), shown, strict=True)
        if not (seen == expected or (text.startswith("|") and expected in seen))
    ]
    assert wrong == []


async def test_money_variables_and_code_are_no_formulas(page: Page) -> None:
    formulas = await run(
        page,
        "return given.filter((text) => whole(text).querySelector('.formula[data-source]'));",
        [*PLAIN, *CODE, *(f"{text}\n\nNext." for text in PLAIN)],
    )
    assert formulas == []


async def test_prices_in_a_table_keep_their_cells(page: Page) -> None:
    table = "| a | b |\n|---|---|\n|$5|6$|\n|$x|y$ z|\n| $|x|$ | $y$ |\n| `a|b` |"
    cells = await run(
        page,
        "return [...whole(given).querySelectorAll('tr')].map((row) => [...row.children].map((cell) => cell.textContent));",
        table,
    )
    assert cells[1] == ["$5", "6$"]
    assert len(cells[3]) == 2


TEXT = r"""Let \(a * b * c\) and $x_1 + x_2$ be *given*, for $5.

\[
\begin{aligned}
a &= b \\

&= c
\end{aligned}
\]

1. **One**: $\frac{a}{b}$
\[
x
+ y
\]
2. Two $$z_1*z_2$$ here
   $$
   - w
   $$

| a | $|x|$ |
|---|---|
| \(y|z\) | 2 |

\begin{equation}
x
\end{equation}
and $5 or $6, *em* \[ u*v \] tail
\[ w \].

Last $x$."""


async def test_any_pieces_render_the_same(page: Page) -> None:
    differences = await run(
        page,
        """
        await loaded();
        const expected = whole(given).innerHTML;
        const wrong = [];
        for (const size of [1, 2, 3, 7, 17, 100]) {
          const { box, stream } = begin();
          for (let at = 0; at < given.length; at += size) { stream.append(given.slice(at, at + size)); frame(); }
          stream.finish(); rest();
          if (box.innerHTML !== expected) wrong.push([size, marked(box), marked(whole(given))]);
        }
        return wrong;
        """,
        TEXT,
    )
    assert differences == []


async def test_an_unfinished_formula_is_shown_as_it_was_written(page: Page) -> None:
    """With each letter; what is before it stays the same nodes."""
    texts = [
        r"Let \(a * b * c\)",
        r"So $a*b*c$",
        "So\n\n\\[\na\n+ b\n- c\n* d\n\\]",
        "$$x\\,*y*$$",
        "- a\n\n  $$\n  - b\n  $$",
    ]
    wrong = await run(
        page,
        """
        await loaded();
        const wrong = [];
        for (const text of given) {
          const { box, stream } = begin();
          const from = text.search(/\\\\|\\$/) + 2;
          stream.append(text.slice(0, from)); frame();
          const first = box.querySelector("p")?.firstChild;
          for (let at = from; at < text.length; at += 1) {
            stream.append(text[at]); frame();
            const formula = box.querySelector(".formula");
            const last = at === text.length - 1;
            if (last ? !formula.querySelector("math") : !formula || box.querySelector("em, math, li li, .formula ~ *")) {
              if (text[at] !== "$" || text[at - 1] === "$") wrong.push([text.slice(0, at + 1), box.innerHTML]);
            }
            if (text.startsWith("So\\n") && box.querySelector("p").firstChild !== first) wrong.push("the paragraph before");
          }
        }
        return wrong;
        """,
        texts,
    )
    assert wrong == []


SET = [
    r"\boxed{x = 1}", r"\begin{aligned} a &= b \\ &= c \end{aligned}", r"\begin{cases} a & x > 0 \\ b & \text{otherwise} \end{cases}",
    r"\begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}", r"\begin{bmatrix} 1 \end{bmatrix}", r"\text{if } x", r"\ce{2H2 + O2 -> 2H2O}",
    r"\frac{-b \pm \sqrt{b^2-4ac}}{2a}", r"\sum_{n=1}^\infty \frac{1}{n^2}", r"\mathbb{R} \mathcal{L} \boldsymbol{\alpha}",
    r"\left( \frac{a}{b} \right]", r"\underbrace{a+b}_{c} \overline{z} \hat{x} \vec{v}", r"\cancel{x} \color{red}{y} \textcolor{blue}{z}",
    r"\operatorname{rank} A \bmod 3 \pmod{5}", r"\begin{array}{c|c} a & b \\ \hline c & d \end{array}", r"x \tag{1}", r"f'(x) + f''(x)",
    r"\xrightarrow{abc} \binom{n}{k} \lim_{x \to 0}", "速度 = \\frac{距离}{时间}", r"\displaystyle\int_0^1 x\,dx", r"25^\circ\mathrm{C}",
    r"\bra{x}\ket{y}", r"\implies \iff \therefore", r"\mathrm{d}x \, \mathbf{v} \cdot \nabla", r"\newcommand{\R}{\mathbb{R}} x \in \R",
]  # fmt: skip
MISTAKES = [r"\frac{a", r"\foo{x}", r"a & b }", r"\begin{foo} x \end{foo}", r"\left( x", "^^", r"\sqrt"]


async def test_formulas_are_set_as_mathml_or_shown_as_written(page: Page) -> None:
    seen = await run(
        page,
        """
        await loaded();
        const shown = (tex) => { const box = whole(`$$${tex}$$`); return [box.querySelector("math") !== null, box.textContent]; };
        return [given.set.filter((tex) => !shown(tex)[0]), given.mistakes.map(shown)];
        """,
        {"set": SET, "mistakes": MISTAKES},
    )
    assert seen[0] == []
    assert seen[1] == [[False, f"$${tex}$$"] for tex in MISTAKES]


HOSTILE = [
    r"\href{javascript:window.__hit=1}{x}", r"\url{javascript:window.__hit=1}", r"\includegraphics{https://evil.example/x.png}",
    r"\htmlId{log}{x}", r"\htmlClass{send}{x}", r"\class{send}{x}", r"\style{position:fixed}{x}", r"\data{x=1}{y}", r"\cssId{a}{x}",
    r"\text{<img src=x onerror=window.__hit=1>}", r"<script>window.__hit=1</script>", r"\label{x} \ref{x} \eqref{javascript:x}",
    r"\color{red;background:url(https://evil.example/)}{x}", r"\textcolor{url(https://evil.example/)}{x}", r"\unicode{x3c}script\unicode{x3e}",
    r"\rule{100000em}{100000em}", r"\kern{-100000em} x", r"\hspace{-9999em} x", r"\raisebox{9999em}{x}", r"\\[99999em] x", r"\mathchoice{a}{b}{c}{d}",
    r"\def\a{\a\a}\a", r"\def\a#1{#1#1#1#1#1#1#1#1}\a{\a{\a{\a{\a{\a{\a{x}}}}}}}", r"\let\x=\x \x", r"\gdef\constructor{1} \constructor", r"\__proto__ \toString \hasOwnProperty",
    "{" * 4000 + "}" * 4000, r"\sqrt{" * 1000 + "x" + "}" * 1000, "^{a" * 1500 + "}" * 1500, r"\left(" * 900 + r"\right)" * 900, r"\frac{1}{" * 500 + "x" + "}" * 500,
    "x" * 8000, r"\begin{matrix}" + "&" * 7000 + r"\end{matrix}",
]  # fmt: skip
MATHML = {
    "math menclose mfrac mi mmultiscripts mn mo mover mpadded mphantom mprescripts mroot mrow ms mspace msqrt mstyle "
    "msub msubsup msup mtable mtd mtext mtr munder munderover none"
}


async def test_formulas_make_only_mathml_within_bounds(page: Page) -> None:
    """No link, no source, no handler, no id; no length beyond a screen; each within a second."""
    seen = await run(
        page,
        """
        await loaded();
        const names = new Set(), attributes = new Set(), styles = new Set();
        let slowest = 0;
        let longest = 0;
        for (const tex of given) {
          const start = performance.now();
          const box = whole(`$$${tex}$$`);
          slowest = Math.max(slowest, performance.now() - start);
          for (const element of box.querySelectorAll(".formula *")) {
            names.add(element.localName);
            for (const { name, value } of element.attributes) {
              attributes.add(name);
              for (const [, length] of value.matchAll(/(-?[\\d.]+)em/g)) longest = Math.max(longest, Math.abs(length));
            }
            for (const name of element.style) styles.add(name);
            if (/url|fixed|expression/.test(element.getAttribute("style") ?? "")) styles.add("bad");
          }
        }
        return { names: [...names], attributes: [...attributes], styles: [...styles], slowest, longest, hit: window.__hit };
        """,
        HOSTILE,
    )
    allowed = set(" ".join(MATHML).split())
    assert set(seen["names"]) <= allowed
    assert not [
        name
        for name in seen["attributes"]
        if name.startswith("on") or name in {"href", "src", "id", "xlink:href"}
    ]
    assert not {"bad", "background-image", "z-index", "cursor"} & set(seen["styles"])
    assert seen["longest"] <= 50
    assert seen["slowest"] < 5000
    assert seen["hit"] is None


async def test_primes_are_beside_what_they_belong_to(page: Page) -> None:
    """As superscripts, they would be raised twice."""
    seen = await run(
        page,
        "await loaded(); return given.map((tex) => [...whole(`$${tex}$`).querySelectorAll('msup, msubsup')].length);",
        ["f'", "f''(x)", "x'_1", "x^2", "f'^2"],
    )
    assert seen == [0, 0, 0, 1, 1]


async def test_many_formulas_cost_as_much_as_they_are_long(page: Page) -> None:
    """What the lexer is given while the text grows is in proportion, also for one formula of a megabyte."""
    texts = {
        "in lines": "Let $x_1 + y$ and \\(z*w\\) be *given*.\n\n",
        "in a paragraph": "Let $x_1 + y$ and \\(z*w\\) be *given*. ",
        "displayed": "\\[\nx_1\n+ y\n\\]\n",
        "in a list": "- $x_1 + y$ and \\(z*w\\)\n",
        "dollars": "$ $x ",
        "parentheses": "\\( ",
    }
    seen = await run(
        page,
        """
        await loaded();
        const cost = (text) => {
          const lexer = newLexer();
          let lexed = 0;
          const { stream } = begin({ lex: (text) => ((lexed += text.length), lexer.lex(text)) });
          for (let at = 0; at < text.length; at += 400) { stream.append(text.slice(at, at + 400)); frame(); }
          stream.finish(); rest();
          return lexed;
        };
        return Object.fromEntries(Object.entries(given).map(([name, line]) => [name, [cost(line.repeat(10_000 / line.length)), cost(line.repeat(20_000 / line.length))]]));
        """,
        texts,
    )
    for name, (once, twice) in seen.items():
        assert twice < 2.6 * once, name


async def test_a_formula_without_an_end_is_bounded(page: Page) -> None:
    """Not complete, it stays as it was written, in parts that lose nothing."""
    seen = await run(
        page,
        """
        await loaded();
        const body = "a_1 + \\\\{b*c*d\\\\} \\\\\\\\\\n".repeat(50_000);
        const lexer = newLexer();
        let longest = 0;
        const { box, stream } = begin({ lex: (text) => ((longest = Math.max(longest, text.length)), lexer.lex(text)) });
        stream.append("\\\\[\\n" + body); rest(); stream.append("\\\\]\\n\\nThe *end*."); stream.finish(); rest();
        const text = [...box.querySelectorAll(".formula")].map((formula) => formula.textContent).join("\\n");
        return [longest, text.split("b*c*d").length - 1, box.querySelector("math") === null, box.querySelector("em")?.textContent];
        """,
    )
    assert seen[0] < 36_000
    assert seen[1:] == [50_000, True, "end"]


async def test_formulas_stay_whole_where_a_paragraph_is_cut(page: Page) -> None:
    line = "so it is $a + b + c + d + e + f$ and "
    for text in (
        line * 1500,
        "- " + line * 1500,
        "> " + line * 1500,
        ("so $a +\nb + c$ " * 2).strip() + "\n" + line * 1500,
    ):
        seen = await run(
            page,
            """
            await loaded();
            const box = whole(given);
            return [box.querySelectorAll("math").length, box.querySelectorAll("p, li").length, box.textContent.includes("$")];
            """,
            text,
        )
        assert seen[0] in (1500, 1502)
        assert seen[1] > 2
        assert seen[2] is False


async def test_the_library_is_loaded_with_the_first_formula(site: Site) -> None:
    """What was shown as it was written by then is set, in finished blocks, too."""
    need_marked()
    page = await site.open()
    site.requests.clear()
    site.fake.script = Script(answer("No formula: $5 and $6.\n\n```\n$x$\n```"))
    await site.ask(page, "One")
    await expect(page.locator(ANSWER)).to_contain_text("$6")
    assert not [url for url in site.requests if "temml" in url or "languages" in url]
    held = asyncio.Event()

    async def hold(route: Route) -> None:
        await held.wait()
        await route.continue_()

    await page.route("**/*temml*", hold)
    site.fake.script = Script([token("Let $x^2$ be.\n\nMore of"), *answer(" $y$.")], gate=(gate := Gate()))
    gate.let(1)
    await site.ask(page, "Two")
    last = page.locator(ANSWER).last
    await expect(last).to_contain_text("$x^2$")
    held.set()
    await expect(last.locator("p").first.locator("math")).to_have_count(1)
    gate.open()
    await expect(last.locator("math")).to_have_count(2)
    assert len([url for url in site.requests if "temml" in url]) == 1


async def test_what_cannot_be_loaded_is_tried_again_with_the_next_answer(site: Site) -> None:
    need_marked()
    page = await site.open()
    await page.route("**/markdown/more.js", lambda route: route.abort())
    site.fake.script = Script(answer("Let $x^2$ **be**."))
    await site.ask(page, "One")
    await expect(page.locator(ANSWER).locator("strong")).to_have_text("be")
    await expect(page.locator(ANSWER)).to_contain_text("Let $x^2$ be.")
    await page.unroute("**/markdown/more.js")
    await page.route("**/vendor/temml.js", lambda route: route.abort())
    site.fake.script = Script([token(word) for word in ("Let $x^2$", " **be**", ".")] + [*answer(" It is.")])
    site.requests.clear()
    async with page.expect_event("requestfailed"):
        await site.ask(page, "Two")
    await expect(page.locator(ANSWER).last).to_contain_text("Let $x^2$ be. It is.")
    assert len([url for url in site.requests if "temml" in url]) == 1
    await page.unroute("**/vendor/temml.js")
    await site.ask(page, "Three")
    await expect(page.locator(ANSWER).last.locator("math")).to_have_count(1)


async def test_a_copied_selection_has_the_source(site: Site) -> None:
    need_marked()
    page = await site.open(permissions=["clipboard-read", "clipboard-write"])
    site.fake.script = Script(answer("Let \\(x^2\\) be\n\n$$\\frac{a}{b}$$\n\n- one $y$\n- two"))
    await site.ask(page, "One")
    await expect(page.locator(f"{ANSWER} math")).to_have_count(3)
    await page.evaluate(
        """() => {
          const content = document.querySelector("chat-interface").shadowRoot.querySelector(".assistant .content");
          const walker = document.createTreeWalker(content, NodeFilter.SHOW_TEXT);
          const first = walker.nextNode();
          let last = first;
          while (walker.nextNode()) last = walker.currentNode;
          getSelection().setBaseAndExtent(first, 0, last, last.length);
        }"""
    )
    await page.keyboard.press("Control+c")
    copied = await page.evaluate("navigator.clipboard.readText()")
    assert [line for line in copied.splitlines() if line] == [
        "Let \\(x^2\\) be", "$$\\frac{a}{b}$$", "one $y$", "two",
    ]  # fmt: skip


async def test_a_long_formula_scrolls_and_is_accessible(site: Site) -> None:
    """On a phone; in both colour schemes."""
    need_marked()
    for scheme in ("light", "dark"):
        page = await site.open(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        long = " + ".join(f"a_{{{number}}}" for number in range(60))
        site.fake.script = Script(
            answer(f"So $x$:\n\n\\[ {long} \\]\n\nand ${long}$ and $\\color{{red}}{{y}}$.")
        )
        await site.ask(page, "One")
        await expect(page.locator(f"{ANSWER} math")).to_have_count(4)
        wide = await page.evaluate(
            """() => {
              const root = document.querySelector("chat-interface").shadowRoot;
              const { scrollWidth, clientWidth } = root.querySelector(".log");
              const formula = root.querySelector(".assistant .formula.display");
              return [scrollWidth - clientWidth, formula.scrollWidth > formula.clientWidth];
            }"""
        )
        assert wide == [0, True]
        assert await serious(page) == []


async def test_what_temml_leaves_to_classes_is_styled_in_every_element(site: Site) -> None:
    """The style sheet comes with the library; the second element has formulas when that is there already."""
    page = await site.embed('<chat-interface id="one"></chat-interface>')
    site.fake.script = Script(answer(r"So \(\cancel{x}\) is gone."))
    await site.ask(page, "One")
    stroke = ".tml-cancel"
    await expect(page.locator(f"#one {stroke}")).to_have_css("position", "absolute")
    await page.evaluate(
        """() => {
          const two = document.createElement("chat-interface");
          two.id = "two";
          two.sessionId = document.querySelector("#one").sessionId;
          document.querySelector("main").append(two);
        }"""
    )
    await expect(page.locator(f"#two {stroke}")).to_have_css("position", "absolute")
    await page.close()
