"""Uniform and global widths against hand-made costs."""

from collections.abc import Mapping

import pytest
import torch

from edgeprune.allocate.global_ import global_, normalise
from edgeprune.allocate.uniform import uniform
from edgeprune.errors import BudgetNotMet
from edgeprune.z_scores import standardise

MENUS = {"a": tuple(range(8, 65, 8)), "b": tuple(range(8, 33, 8))}


def channels(counts: Mapping[str, int]) -> float:
    return float(sum(counts.values()))


def test_uniform_takes_the_largest_common_ratio() -> None:
    assert uniform(MENUS, channels, 48) == {"a": 32, "b": 16}
    assert uniform(MENUS, channels, 96) == {"a": 64, "b": 32}


def test_uniform_below_the_floor() -> None:
    with pytest.raises(BudgetNotMet, match="16"):
        uniform(MENUS, channels, 15)


def test_global_narrows_the_group_of_low_scores_first() -> None:
    scores = {"a": torch.cat([torch.full((32,), 2.0), torch.full((32,), 0.01)]), "b": torch.linspace(0.9, 1.1, 32)}
    counts = global_(scores, MENUS, channels, 64)
    assert counts == {"a": 32, "b": 32}


def test_global_keeps_the_least_width_of_every_group() -> None:
    scores = {"a": torch.linspace(1, 2, 64), "b": torch.cat([torch.full((31,), 1e-9), torch.ones(1)])}
    counts = global_(scores, MENUS, channels, 40)
    assert counts["b"] == 8
    assert channels(counts) <= 40


def test_normalised_scores_do_not_depend_on_scale() -> None:
    scores = torch.rand(10)
    assert torch.allclose(normalise(scores), normalise(1000 * scores))


def test_z_scores_are_compared_as_they_are() -> None:
    """Group b: 31 zeros and a one, whose z-scores -0.18 and 5.57 have no zero at the bottom, as over the mean."""
    scores = {"a": torch.arange(64.0), "b": torch.cat([torch.zeros(31), torch.ones(1)])}
    z = standardise(scores["b"])
    assert float(z[0]) == pytest.approx(-1 / 31**0.5)
    assert float(z[-1]) == pytest.approx(31**0.5)
    assert global_(scores, MENUS, channels, 40, standardise) == {"a": 32, "b": 8}
    assert global_(scores, MENUS, channels, 64, standardise) == {"a": 32, "b": 32}
    assert global_(scores, MENUS, channels, 64)["b"] == 8
    assert standardise(torch.ones(3)).tolist() == [0, 0, 0]
