"""Film docs/screenshots/two-tabs.webp: two tabs on one answer, a reload, `kill -9`, and what is left.

Run it with `make screenshots`; it needs Chromium, img2webp and the test extra. The server is a real process,
which is really killed. Only the model is scripted: its answer is written here, and comes word by word.
"""

import asyncio
import signal
import subprocess
import sys
import tempfile
from base64 import b64encode
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))

from browser import FIELD, chromium  # noqa: E402 - the module is one of the tests'
from fake_ollama import MODEL, FakeOllama, Gate, Script, answer  # noqa: E402 - and so are these
from faults.place import free_port  # noqa: E402
from processes import Process  # noqa: E402

FOLDER: Final = ROOT / "docs" / "screenshots"
TAB: Final = {"width": 470, "height": 560}
FRAME: Final = {"width": 980, "height": 712}
QUESTION: Final = "Why is the night sky dark, if there are so many stars?"
BEFORE: Final = r"""That question is **Olbers' paradox**. If the universe were endless, eternal and evenly
filled with stars, every line of sight would end on one, and the night would be as bright as the sun.

In a shell of radius \(r\) and thickness \(dr\) there are more stars, the farther away it is, but each of them
looks fainter. Both cancel:

$$4\pi r^2\,n\,dr \cdot \frac{L}{4\pi r^2} = n\,L\,dr$$

So every shell adds the same light, and endlessly many of them add"""
AFTER: Final = r"""without end. Two things save the night:

1. The universe is **13.8 billion years** old. Light from farther away has had no time to arrive.
2. It **expands**, so that old light is stretched beyond what eyes can see: it is the glow of the cosmic
   microwave background, at \(2.7\,\mathrm{K}\)."""
WORDS: Final = 5  # between two frames
STEP: Final = 160  # ms of a frame in which words arrive
STAGE: Final = """
<!doctype html>
<style>
  * { box-sizing: border-box; margin: 0 }
  body { inline-size: 980px; padding: 14px 14px 12px; background: #e8ecf1; color: #16202c;
         font: 17px/1.4 system-ui, sans-serif }
  h1 { font-size: 22px; line-height: 28px; margin-block-end: 12px }
  main { display: flex; gap: 12px }
  figure { inline-size: 470px; border-radius: 8px; overflow: hidden; background: #fff;
           box-shadow: 0 1px 4px #0003 }
  figcaption { block-size: 30px; padding: 4px 12px; background: #cfd7e1; font-size: 14px; color: #33404f }
  img { display: block; inline-size: 470px; block-size: 560px }
  pre { margin-block-start: 12px; padding: 7px 14px; border-radius: 8px; background: #16202c; color: #d7e3ee;
        font: 16px/1.4 monospace; block-size: 37px }
</style>
<h1></h1>
<main>
  <figure><figcaption>first tab</figcaption><img></figure>
  <figure><figcaption>second tab</figcaption><img></figure>
</main>
<pre></pre>
"""
SHOW: Final = """async ({ caption, typed, images }) => {
  document.querySelector("h1").textContent = caption;
  document.querySelector("pre").textContent = typed;
  const shown = [...document.querySelectorAll("img")];
  shown.forEach((image, number) => { image.src = `data:image/png;base64,${images[number]}`; });
  await Promise.all(shown.map((image) => image.decode()));
}"""


class Film:
    """Frames of two tabs, side by side, with what was typed in a terminal below."""

    def __init__(self, stage: Any, tabs: list[Any], folder: Path) -> None:
        self.tabs = tabs
        self.caption = self.typed = ""
        self.frames: list[tuple[Path, int]] = []
        self._stage = stage
        self._folder = folder

    async def frame(self, ms: int) -> Path:
        """Take a picture that is shown for so long."""
        images = [b64encode(await tab.screenshot(animations="disabled")).decode() for tab in self.tabs]
        await self._stage.evaluate(SHOW, {"caption": self.caption, "typed": self.typed, "images": images})
        path = self._folder / f"{len(self.frames):03}.png"
        await self._stage.screenshot(path=path)
        self.frames.append((path, ms))
        return path

    def save(self, path: Path) -> None:
        """Write the animation."""
        frames = [part for frame, ms in self.frames for part in ("-d", str(ms), str(frame))]
        command = ["img2webp", "-loop", "0", "-lossy", "-q", "60", "-m", "6", *frames, "-o", str(path)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


async def main() -> None:
    """Play it, and film it."""
    async with AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        fake = await stack.enter_async_context(FakeOllama())
        browser = await stack.enter_async_context(chromium())
        context = await browser.new_context(viewport=TAB, color_scheme="light", reduced_motion="reduce")
        stage = await browser.new_page(viewport=FRAME)
        await stage.set_content(STAGE)
        tabs = [await context.new_page() for _ in range(2)]
        film = Film(stage, tabs, folder)
        settings = {
            "port": free_port(),
            "ollama_host": fake.url,
            "default_model": MODEL,
            "embedding_model": "none",
        }
        async with Process.running(folder, **settings) as process:
            await two_tabs(film, fake, process)
            await killed(film, process)
        async with Process.running(folder, **settings):
            await restarted(film, fake)
        film.save(FOLDER / "two-tabs.webp")


async def two_tabs(film: Film, fake: FakeOllama, process: Process) -> None:
    """Ask in the first tab, watch in the second one, and reload that."""
    first, second = film.tabs
    film.caption, film.typed = "One answer, two tabs", "$ chatproxy"
    fake.script = Script(answer(BEFORE + " " + AFTER), gate=(gate := Gate()))
    await first.goto(process.client.base)
    await first.locator(FIELD).fill(QUESTION)
    await first.locator(FIELD).press("Enter")
    await fake.arrived()
    await first.wait_for_url("**/?session=*")
    await second.goto(first.url)
    await second.locator(FIELD).wait_for()
    words = len(answer(BEFORE)) - 1
    for said in range(0, words, WORDS):
        gate.let(min(WORDS, words - said))
        if said // WORDS == words // WORDS // 2:
            film.caption = "Reload one: it goes on where it is"
            await second.reload()
            await film.frame(500)
        await asyncio.sleep(0.4)
        await film.frame(STEP)
    await film.frame(700)


async def killed(film: Film, process: Process) -> None:
    """Kill the server in the middle of the answer."""
    film.caption = "Kill the server in the middle of it"
    film.typed = f"$ kill -9 {process.child.pid}"
    process.send_signal(signal.SIGKILL)
    await process.ended()
    await asyncio.sleep(1)
    await film.frame(2500)


async def restarted(film: Film, fake: FakeOllama) -> None:
    """Start it again, reload, and continue."""
    film.caption, film.typed = "Start it again, and reload: its text is there", "$ chatproxy"
    for tab in film.tabs:
        await tab.reload()
        await tab.locator("chat-interface math").last.wait_for()
        await tab.get_by_role("button", name="Continue").wait_for()
    await asyncio.sleep(0.5)  # until both have scrolled to the end
    (FOLDER / "two-tabs.png").write_bytes((await film.frame(3500)).read_bytes())
    film.caption = "Continue: it goes on where it stopped"
    fake.script = Script(answer(AFTER), gate=(gate := Gate()))
    await film.tabs[0].get_by_role("button", name="Continue").click()
    await fake.arrived()
    for _ in range(0, len(answer(AFTER)), WORDS):
        gate.let(WORDS)
        await asyncio.sleep(0.4)
        await film.frame(STEP)
    gate.open()
    for tab in film.tabs:
        await tab.get_by_role("button", name="Regenerate").last.wait_for()
    await film.frame(4000)


if __name__ == "__main__":
    asyncio.run(main())
