"""The report in a real browser: every picture draws under the page's policy, and nothing is wider than a phone."""

import re
import subprocess
from pathlib import Path

import pytest
from sample import measurements, sample

from edgeprune.report.figures import all_figures
from edgeprune.report.html import render

pytestmark = pytest.mark.debian("chromium")

FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--allow-file-access-from-files")
LOGGED = re.compile(r"CONSOLE.*", re.IGNORECASE)

LOOK = """<script>
onload = () => setTimeout(() => {
  const root = document.querySelector("iframe").contentDocument.documentElement;
  document.body.dataset.seen = root.scrollWidth + "/" + root.clientWidth;
}, 1000);
</script>"""


def browse(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page's DOM after its scripts ran, and what the console logged."""
    settings = (f"--user-data-dir={profile}", "--enable-logging=stderr", "--virtual-time-budget=8000", "--dump-dom")
    done = subprocess.run(
        ["chromium", *FLAGS, *settings, page.as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout, LOGGED.findall(done.stderr)


@pytest.fixture
def report(tmp_path: Path) -> Path:
    page = tmp_path / "report.html"
    page.write_text(render(sample(), measurements()), encoding="utf-8")
    return page


def test_every_picture_draws_and_the_console_is_silent(report: Path, tmp_path: Path) -> None:
    dom, logged = browse(report, tmp_path / "profile")
    drawn = re.findall(r'id="plot-(\w+)"[^>]*>(?:(?!</figure>).)*?<svg', dom, re.DOTALL)
    assert set(drawn) == set(all_figures(sample(), measurements()))
    assert logged == []


def test_the_policy_forbids_what_others_would_load(report: Path, tmp_path: Path) -> None:
    source = report.read_text(encoding="utf-8")
    report.write_text(source.replace("</main>", '<img src="https://example.invalid/x.png"></main>'), encoding="utf-8")
    _, logged = browse(report, tmp_path / "profile")
    assert any("Content Security Policy" in line for line in logged)


@pytest.mark.parametrize("width", [360, 1280])
def test_the_page_does_not_scroll_sideways(report: Path, tmp_path: Path, width: int) -> None:
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="{report.name}" style="border:0;width:{width}px;height:900px"></iframe>{LOOK}', encoding="utf-8"
    )
    dom, _ = browse(frame, tmp_path / "profile")
    found = re.search(r'data-seen="(\d+)/(\d+)"', dom)
    assert found is not None
    assert int(found.group(1)) <= int(found.group(2))
    assert abs(int(found.group(2)) - width) <= 20
