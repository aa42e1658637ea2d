"""The page and the elements in the reader's language."""

from typing import Final

import pytest
from browser import FIELD, Site, browser, browser_test, serious, site, until
from fake_ollama import Script, answer

pytest.importorskip("playwright")
from playwright.async_api import Page, expect

__all__ = ["browser", "site"]  # the fixtures
pytestmark = [pytest.mark.browser, browser_test]

# All texts of the page, also those that are hidden and in shadow trees, that are the same as in English.
ENGLISH: Final = """
async (language) => {
  const english = await import("./static/texts/en.js");
  const texts = await import(`./static/texts/${language}.js`);
  const flat = (value) => (typeof value === "object" ? Object.values(value).flatMap(flat) : [value]);
  const strings = (module) => flat({ ...module }).filter((value) => typeof value === "string");
  const translated = new Set(strings(texts));
  const all = [...strings(english), ...Object.keys(texts.markup)];
  const left = new Set(all.filter((text) => !translated.has(text)));
  const found = [];
  const look = (root) => {
    const nodes = document.createTreeWalker(root, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
    while (nodes.nextNode()) {
      const node = nodes.currentNode;
      if (node instanceof Text) found.push(node.data);
      else found.push(...["aria-label", "title", "placeholder"].map((name) => node.getAttribute(name) ?? ""));
      if (node.shadowRoot) look(node.shadowRoot);
    }
  };
  look(document.body);
  return found.map((text) => text.trim()).filter((text) => left.has(text));
}
"""


async def test_the_page_is_in_the_language_of_the_browser(site: Site) -> None:
    site.fake.script = Script(answer("Hallo."))
    page = await site.open(locale="de-AT")
    await expect(page.locator("html")).to_have_attribute("lang", "de")
    await site.ask(page, "Guten Tag")
    await until(page, "() => !document.querySelector('chat-interface').busy")
    await expect(page.get_by_role("button", name="Neu generieren")).to_be_visible()
    await page.get_by_role("button", name="Tastenkürzel").click()
    dialog = page.get_by_role("dialog", name="Tastenkürzel")
    await expect(dialog.get_by_text("Letzte Antwort kopieren")).to_be_visible()
    await page.keyboard.press("Escape")
    await page.get_by_role("button", name="Dokumente", exact=True).click()
    await expect(page.get_by_text("Noch keine Dokumente.")).to_be_visible()
    await page.keyboard.press("Escape")
    assert await page.evaluate(ENGLISH, "de") == []
    assert await serious(page) == []
    await page.close()


async def test_an_english_page_loads_no_other_texts(site: Site) -> None:
    page = await site.open(locale="en-GB")
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    assert [url for url in site.requests if "/static/texts/" in url] == [
        f"{site.url}/static/texts/{name}.js" for name in ("en", "languages", "format")
    ]
    await page.close()


async def test_texts_that_cannot_be_loaded_are_in_english(site: Site) -> None:
    context = await site.context(locale="fr")
    await context.route("**/texts/fr.js", lambda route: route.abort())
    page = await site.open(context=context)
    await expect(page.locator("html")).to_have_attribute("lang", "en")
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", "Write a message")
    await page.close()


async def embedded(site: Site, lang: str) -> Page:
    markup = f'<div lang="{lang}"><chat-history></chat-history><chat-interface></chat-interface></div>'
    return await site.embed(markup, locale="ja-JP")


async def test_an_element_is_in_the_language_of_its_place_or_of_the_browser(site: Site) -> None:
    page = await embedded(site, "es")  # in a page in English
    field = page.locator(FIELD)
    await expect(field).to_have_attribute("placeholder", "Escriba un mensaje")
    await expect(page.get_by_role("button", name="Nuevo chat")).to_be_visible()
    await page.close()
    page = await embedded(site, "")
    field = page.locator(FIELD)
    await expect(field).to_have_attribute("placeholder", "メッセージを入力")
    await expect(page.get_by_role("button", name="新しいチャット")).to_be_visible()
    await field.fill("草稿")
    for lang, placeholder in (("fr-CA", "Écrire un message"), ("en", "Write a message")):
        await page.evaluate("(lang) => { document.querySelector('chat-interface').lang = lang; }", lang)
        await expect(field).to_have_attribute("placeholder", placeholder)
    await expect(field).to_have_value("草稿")
    await page.close()


async def test_labels_win_over_the_language(site: Site) -> None:
    script = """
      addEventListener("DOMContentLoaded", () => {
        document.querySelector("chat-interface").labels = { send: "Los" };
      });
    """
    markup = "".join(
        f'<chat-{name} lang="de"></chat-{name}>' for name in ("interface", "history", "launcher")
    )
    page = await site.embed(markup, script=script)
    await expect(page.get_by_role("button", name="Los", exact=True)).to_be_visible()
    await expect(page.locator(FIELD)).to_have_attribute("placeholder", "Nachricht schreiben")
    await expect(page.get_by_role("button", name="Neuer Chat")).to_be_visible()
    await page.get_by_role("button", name="Chat öffnen").click()
    field = page.locator("chat-launcher textarea")
    await expect(field).to_have_attribute("placeholder", "Nachricht schreiben")
    await page.evaluate("document.querySelector('chat-launcher').lang = 'zh'")
    await expect(field).to_have_attribute("placeholder", "输入消息")
    await expect(page.get_by_role("button", name="关闭聊天").first).to_be_visible()
    await page.close()
