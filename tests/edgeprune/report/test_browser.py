"""The report in a real browser: every picture draws under the page's policy, at three widths, light and dark."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sample import measurements, sample

from edgeprune.report.figures import all_figures
from edgeprune.report.html import render

pytestmark = pytest.mark.debian("chromium")


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    page = tmp_path_factory.mktemp("report") / "report.html"
    page.write_text(render(sample(), measurements()), encoding="utf-8")
    return page


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 800, 1280])
def test_every_picture_draws_fits_and_the_console_is_silent(
    report: Path, browse: Callable[..., Any], width: int, scheme: str
) -> None:
    seen = browse(report, width, scheme)
    assert seen.drawn() == set(all_figures(sample(), measurements()))
    assert seen.overhang() <= 0
    assert seen.hidden_from_keys() == []
    assert seen.logged == []


def test_pictures_change_their_colours_with_the_scheme(report: Path, browse: Callable[..., Any]) -> None:
    seen = browse(report)
    colour = "getComputedStyle(document.querySelector('#plot-tradeoff .xtitle')).fill"
    light = seen.page.evaluate(colour)
    seen.page.emulate_media(color_scheme="dark")
    seen.page.wait_for_function(f"{colour} !== '{light}'", timeout=10_000)


def test_the_policy_forbids_what_others_would_load(report: Path, browse: Callable[..., Any], tmp_path: Path) -> None:
    source = report.read_text(encoding="utf-8")
    changed = tmp_path / "changed.html"
    changed.write_text(source.replace("</main>", '<img src="https://example.invalid/x.png"></main>'), encoding="utf-8")
    assert any("Content Security Policy" in line for line in browse(changed).logged)
