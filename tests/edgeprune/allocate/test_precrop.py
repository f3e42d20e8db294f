"""Densities to widths against the worked example of reference/methods.md 2.3."""

from collections.abc import Mapping

import pytest

from edgeprune.allocate.closed_form import water_fill
from edgeprune.allocate.fit import snap, widest
from edgeprune.allocate.precrop import Target, precrop, ratios, rescaled
from edgeprune.errors import BudgetNotMet, UsageError

UNITS = {"c1": 64, "c2": 128, "c3": 256, "c4": 512}
CHAIN = [(None, "c1", 9), ("c1", "c2", 9), ("c2", "c3", 9), ("c3", "c4", 9), ("c4", None, 1)]
PIXELS = [1024, 256, 64, 16, 1]
ENDS = {"in": 3, "out": 10}
SIZES = {"1": 1728.0, "2": 73728.0, "3": 294912.0, "4": 1179648.0, "fc": 5120.0}
MACS = {name: size * pixels for (name, size), pixels in zip(SIZES.items(), PIXELS, strict=True)}


def cost(pixels: list[int]) -> object:
    def of(widths: Mapping[str, float]) -> float:
        total = 0.0
        for (into, out, k), hw in zip(CHAIN, pixels, strict=True):
            total += k * hw * (widths[into] if into else 3) * (widths[out] if out else 10)
        return total

    return of


PARAMETERS, MULTIPLIES = cost([1] * 5), cost(PIXELS)


def wishes(densities: dict[str, float], sizes: dict[str, float] = SIZES) -> list[Target]:
    return [
        Target(p, sizes[name], {into: 1.0} if into else {}, {out: 1.0} if out else {})
        for (name, p), (into, out, _) in zip(densities.items(), CHAIN, strict=True)
    ]


BY_PARAMETERS = water_fill(SIZES, 0.25 * sum(SIZES.values()))
BY_MACS = water_fill(MACS, 0.25 * sum(MACS.values()))


def test_densities_of_the_worked_example() -> None:
    assert list(BY_PARAMETERS.values()) == pytest.approx([1, 1, 0.5225, 0.1306, 1], abs=1e-4)
    assert list(BY_MACS.values()) == pytest.approx([1, 0.2265, 0.2265, 0.2265, 1], abs=1e-4)


@pytest.mark.parametrize(
    ("densities", "sizes", "resource", "rule", "balance", "expected", "before"),
    [
        (BY_PARAMETERS, SIZES, PARAMETERS, "min", 0.3, (64, 109.2, 109.2, 218.4), 0.185),
        (BY_PARAMETERS, SIZES, PARAMETERS, "geometric-mean", 0.3, (53.4, 90.7, 109.1, 256.7), 0.359),
        (BY_PARAMETERS, SIZES, PARAMETERS, "least-squares", 0.3, (64, 128, 111.7, 182.0), 0.24),
        (BY_MACS, MACS, MULTIPLIES, "min", 0.3, (31.5, 63, 126, 252.1), 0.234),
        (BY_MACS, MACS, MULTIPLIES, "least-squares", 0.0, (58.8, 32.1, 232.2, 129.6), 0.248),
        (BY_MACS, MACS, MULTIPLIES, "least-squares", 0.3, (33.2, 61.5, 125.8, 249.8), 0.24),
    ],
)
def test_worked_example(densities, sizes, resource, rule, balance, expected, before) -> None:
    ratio = ratios(wishes(densities, sizes), rule, balance)
    dense = resource(UNITS)
    assert resource({g: r * UNITS[g] for g, r in ratio.items()}) / dense == pytest.approx(before, abs=0.009)
    widths = rescaled(ratio, UNITS, resource, 0.25 * dense)
    assert resource(widths) == pytest.approx(0.25 * dense, rel=1e-6)
    assert [widths[g] for g in UNITS] == pytest.approx(expected, abs=0.06)


def test_uniform_density_halves_every_width() -> None:
    widths = ratios(wishes(dict.fromkeys(SIZES, 0.25)), "min")
    assert widths == pytest.approx(dict.fromkeys(UNITS, 0.5))


def test_constant_density_gives_its_root_on_a_chain() -> None:
    ratio = ratios(wishes({**dict.fromkeys(SIZES, 0.25), "fc": 1.0}))
    assert ratio["c2"] == pytest.approx(0.5, rel=0.05)
    assert ratio["c3"] == pytest.approx(0.5, rel=0.05)


def test_depthwise_density_is_one_ratio() -> None:
    tied = [Target(0.25, 100.0, {"g": 1.0}, {"g": 1.0}, tied=True)]
    assert ratios(tied, "min")["g"] == pytest.approx(0.25)
    assert ratios(tied)["g"] == pytest.approx(0.25, rel=0.01)


def test_rounded_widths_keep_the_budget_and_the_menus() -> None:
    menus = {g: tuple(range(8, c + 1, 8)) for g, c in UNITS.items()}
    for share in (0.1, 0.25, 0.6, 1.0):
        budget = share * MULTIPLIES(UNITS)
        counts = precrop(ratios(wishes(BY_MACS)), menus, MULTIPLIES, budget)
        assert MULTIPLIES(counts) <= budget
        assert MULTIPLIES(counts) > 0.8 * budget
        assert all(counts[g] in menu for g, menu in menus.items())


def test_a_budget_below_the_floor_is_an_error_that_names_it() -> None:
    menus = {g: tuple(range(8, c + 1, 8)) for g, c in UNITS.items()}
    with pytest.raises(BudgetNotMet, match="narrowest"):
        precrop(ratios(wishes(BY_MACS)), menus, MULTIPLIES, 100.0)


def test_unknown_rule_names_the_known_ones() -> None:
    with pytest.raises(UsageError, match="nonsense"):
        ratios(wishes(BY_MACS), "nonsense")


@pytest.mark.parametrize(("width", "expected"), [(33, 32), (12, 16), (20, 24), (10, 16)])
def test_snap_is_make_divisible(width: int, expected: int) -> None:
    assert snap(tuple(range(8, 65, 8)), width) == expected


def test_widest_takes_the_top_when_it_fits() -> None:
    assert widest(lambda t: {"g": t}, lambda c: c["g"], 2.0, high=1.0) == {"g": 1.0}
