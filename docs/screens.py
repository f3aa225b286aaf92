"""Takes the screenshots of docs/page/: python docs/screens.py, two minutes on one core.

Needs Chromium, playwright, and the extra `web`.
"""

import io
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

HERE = Path(__file__).parent / "page"
#: milliseconds in which a run ends
PATIENCE = 120_000


def main() -> None:
    with served() as url, sync_playwright() as running:
        chromium = shutil.which("chromium") or shutil.which("google-chrome")
        browser = running.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = opened(browser, url, width=1280, height=1000)
        restored(page)
        save([page.screenshot()], "restore")
        page = opened(browser, url, width=1280, height=1000)
        walked(page)
        save([page.screenshot()], "learn")
        page = opened(browser, url, width=390, height=1000, color_scheme="dark")
        restored(page)
        top = [page.screenshot()]
        for what, above in ((page.locator("#go"), 10), (page.get_by_role("heading", name="Samples"), 350)):
            what.evaluate(f"e => window.scrollTo(0, e.getBoundingClientRect().top + window.scrollY - {above})")
            top.append(page.screenshot())
        save(top, "phone")
        browser.close()


@contextmanager
def served() -> Iterator[str]:
    """The address of a page that is served meanwhile."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from posteriori.cli import main; main()", "serve", "--port", str(port)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    url = f"http://127.0.0.1:{port}/"
    try:
        while True:
            try:
                urllib.request.urlopen(url, timeout=5).close()
                break
            except OSError:
                if process.poll() is not None:
                    raise
                time.sleep(0.5)
        yield url
    finally:
        process.terminate()
        process.wait()


def opened(browser: Browser, url: str, width: int, height: int, **options: str) -> Page:
    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    page.goto(url)
    page.get_by_role("heading", name="posteriori", exact=True).wait_for()
    return page


def restored(page: Page) -> None:
    """A bundled face, blurred and restored by the mean of four samples."""
    page.get_by_label("astronaut", exact=True).check()
    page.get_by_text("astronaut, 174 x 174 pixels").first.wait_for()
    page.get_by_label("It is clean: degrade it first, then restore it").check()
    page.get_by_label("Blur", exact=True).check()
    page.get_by_label("Standard deviation of the Gaussian, in pixels").fill("1.5")
    page.get_by_role("button", name="Advanced").click()
    samples = page.locator("#option-samples").get_by_role("textbox")
    samples.fill("4")
    samples.blur()
    page.wait_for_timeout(3000)  # until the server has it
    page.get_by_role("button", name="Advanced").click()
    page.locator("#estimate").get_by_text("It will take about").wait_for()
    page.locator("#go").click()
    page.locator("#told").get_by_text(re.compile("^Done in")).first.wait_for()
    page.get_by_text("Standard deviation of the samples").wait_for()
    page.evaluate("window.scrollTo(0, 0)")
    page.wait_for_timeout(1000)


def walked(page: Page) -> None:
    """Two thirds of DPS's path from noise to a face, of a blurred one."""
    page.get_by_role("tab", name="Learn").click()
    page.get_by_label("Deconvolution", exact=True).check()
    page.get_by_label("DPS", exact=True).check()
    page.get_by_role("button", name="Walk").click()
    page.get_by_text("Move the slider").wait_for()
    slider = page.locator("input[type=range]:visible").first
    slider.evaluate("e => { e.value = 0.62 * e.max; e.dispatchEvent(new Event('input', {bubbles: true})) }")
    page.wait_for_timeout(1000)


def save(shots: list[bytes], name: str) -> None:
    """The pictures beside each other, as NAME.webp."""
    pictures = [Image.open(io.BytesIO(shot)).convert("RGB") for shot in shots]
    width = sum(picture.width + 20 for picture in pictures) - 20
    side_by_side = Image.new("RGB", (width, pictures[0].height), "white")
    left = 0
    for picture in pictures:
        side_by_side.paste(picture, (left, 0))
        left += picture.width + 20
    side_by_side.save(HERE / f"{name}.webp", quality=80, method=6)


if __name__ == "__main__":
    main()
