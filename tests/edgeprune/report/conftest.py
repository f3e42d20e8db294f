"""Lets the tests of this folder import `sample` (importlib mode adds no folder to the path); a browser for pages."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parent))

DRAWN = "[...document.querySelectorAll('.plot')].filter((p) => p.querySelector('svg.main-svg')).map((p) => p.id)"


class Opened:
    """A page in Debian's Chromium, and what its console said."""

    def __init__(self, page: Any) -> None:
        self.page, self.logged = page, []
        page.on("console", lambda message: self.logged.append(message.text))
        page.on("pageerror", lambda error: self.logged.append(str(error)))

    def drawn(self) -> set[str]:
        """Names of the pictures that Plotly drew."""
        return {name.removeprefix("plot-") for name in self.page.evaluate(DRAWN)}

    def overhang(self) -> int:
        """Pixels by which the page is wider than its window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def hidden_from_keys(self) -> list[str]:
        """What scrolls or can be clicked, but cannot be reached with the Tab key."""
        return self.page.evaluate(
            """[...document.querySelectorAll('button, input, summary, a[href], .scroll')].filter((e) => e.tabIndex < 0
            && (!e.matches('.scroll') || e.scrollWidth > e.clientWidth)).map((e) => e.outerHTML.slice(0, 80))"""
        )


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """Debian's Chromium, driven by Playwright; one for a file, since its event loop runs until it is closed."""
    from playwright.sync_api import sync_playwright

    flags = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=flags)
        yield browser
        browser.close()


@pytest.fixture
def browse(chromium: Any) -> Iterator[Callable[..., Opened]]:
    """browse(path, width=1280, scheme="light") opens a page; it is closed after the test."""
    opened: list[Opened] = []

    def visit(path: Path, width: int = 1280, scheme: str = "light") -> Opened:
        opened.append(Opened(chromium.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)))
        opened[-1].page.goto(path.as_uri(), wait_until="load")
        return opened[-1]

    yield visit
    for each in opened:
        each.page.close()
