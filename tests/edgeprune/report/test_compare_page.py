"""The page of `edgeprune compare` on real digits: its numbers; in a real browser its pictures, keys and hovering."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from sample import emulated_sample, sample
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from edgeprune.diagnose.comparison import Comparison
from edgeprune.diagnose.robustness import ask
from edgeprune.report import compare_figures
from edgeprune.report.compare import render as render_table
from edgeprune.report.compare_html import render

COUNT = 60


def _classifier(images: Tensor, targets: Tensor, seen: slice) -> nn.Module:
    """Logistic regression on some of the pixels, as a network on all of them."""
    oracle = LogisticRegression(max_iter=100).fit(images.flatten(1)[:, seen].numpy(), targets.numpy())
    head = nn.Linear(64, 10)
    weight = torch.zeros(10, 64)
    weight[:, seen] = torch.from_numpy(oracle.coef_).float()
    head.load_state_dict({"weight": weight, "bias": torch.from_numpy(oracle.intercept_)})
    return nn.Sequential(nn.Flatten(), head)


@pytest.fixture(scope="module")
def compared() -> Comparison:
    """All pixels against every other and every fourth one, on digits that none of them learned from."""
    found = load_digits()
    images = torch.from_numpy(found.images).float().unsqueeze(1) / 16
    targets = torch.from_numpy(found.target).long()
    slices = {"dense": slice(None), "half, pruned": slice(0, 64, 2), "<i>quarter</i>, pruned": slice(0, 64, 4)}
    rest, asked = (images[COUNT:400], targets[COUNT:400]), (images[:COUNT], targets[:COUNT])
    answers = {name: ask(_classifier(*rest, seen), *asked, lambda x: x) for name, seen in slices.items()}
    pairs = {"half": ("dense", "half, pruned"), "<i>quarter</i>": ("dense", "<i>quarter</i>, pruned")}
    runs = {"half": sample(), "<i>quarter</i>": sample()}
    return Comparison(runs, "test", answers, pairs, tuple("0123456789"), *asked)


def test_fragile_images_are_those_that_only_the_dense_network_knows(compared: Comparison) -> None:
    dense, pruned = compared.answers["dense"], compared.answers["<i>quarter</i>, pruned"]
    expected = {
        i
        for i in range(COUNT)
        if dense.predicted[i] == compared.targets[i] and pruned.predicted[i] != compared.targets[i]
    }
    found = compare_figures.fragile(compared, "<i>quarter</i>", COUNT)
    assert set(found) == expected
    assert expected
    assert dense.geometry is not None
    margins = [float(dense.geometry.logit_margin[i]) for i in found]
    assert margins == sorted(margins, reverse=True)


def test_the_page_loads_nothing_escapes_names_and_shows_the_numbers(compared: Comparison) -> None:
    page = render(compared)
    plain = re.sub(r"<script.*?</script>", "", page, flags=re.DOTALL)
    assert not re.search(r'(?:src|href)="(?!data:)', plain)
    assert "<i>quarter" not in page
    assert f"{100 * compared.answers['half, pruned'].robustness:.1f} %" in page


def test_what_was_emulated_is_called_so(compared: Comparison) -> None:
    run = Comparison({"phone": emulated_sample()}, "test", note="phone was made from Python objects")
    assert "<strong>phone: emulated.</strong>" in render(run)
    console = Console(width=80)
    with console.capture() as seen:
        console.print(render_table(run))
        console.print(render_table(compared))
    assert "phone: emulated" in seen.get()
    assert "phone was made from Python objects" in seen.get()
    assert max(map(len, seen.get().splitlines())) <= 80


@pytest.fixture(scope="module")
def page(compared: Comparison, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("compare") / "compare.html"
    path.write_text(render(compared), encoding="utf-8")
    return path


@pytest.mark.debian("chromium")
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [400, 800, 1280])
def test_every_picture_draws_fits_and_the_console_is_silent(
    page: Path, compared: Comparison, browse: Callable[..., Any], width: int, scheme: str
) -> None:
    seen = browse(page, width, scheme)
    assert seen.drawn() == set(compare_figures.all_figures(compared, [0]))
    assert seen.overhang() <= 0
    assert seen.hidden_from_keys() == []
    assert seen.logged == []


@pytest.mark.debian("chromium")
def test_images_are_reached_with_keys_and_by_pointing(
    page: Path, compared: Comparison, browse: Callable[..., Any]
) -> None:
    seen = browse(page)
    view, names = seen.page, [compared.class_names[int(target)] for target in compared.targets]
    assert view.inner_text("#class") == names[0]
    first = view.get_attribute("#picture", "src")
    view.focus("#next")
    view.keyboard.press("Enter")
    view.keyboard.press("Enter")
    assert view.input_value("#chosen") == "3"
    assert view.inner_text("#class") == names[2]
    assert view.get_attribute("#picture", "src") != first
    said = view.locator("#answers tr").first.locator("td").first.inner_text()
    assert said == compared.class_names[int(compared.answers["dense"].predicted[2])]

    view.focus("[data-sample]")
    view.keyboard.press("Enter")
    lost = compare_figures.fragile(compared, "half", COUNT) or compare_figures.fragile(
        compared, "<i>quarter</i>", COUNT
    )
    assert view.input_value("#chosen") == str(lost[0] + 1)

    mark = view.locator("#plot-margins .scatterlayer .point").nth(7)
    mark.scroll_into_view_if_needed()
    box = mark.bounding_box()
    view.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2, steps=3)
    view.wait_for_function(f"document.getElementById('chosen').value !== '{lost[0] + 1}'", timeout=10_000)
    assert seen.logged == []
