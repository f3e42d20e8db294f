"""The solver against brute force and HiGHS."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.search.brute_force import brute_force
from edgeprune.search.elimination import Elimination
from edgeprune.search.milp import filtered, solve_milp
from edgeprune.search.problem import Factor, Infeasible, Problem, Row, Sum
from edgeprune.search.relaxed import Relaxed
from edgeprune.search.solver import solve


def chain(seed: int, groups: int = 4, widths: int = 5, share: float = 0.5, rows: int = 1, skip: bool = True) -> Problem:
    """A residual-looking problem: pair costs along a chain, and one between the two ends."""
    rng = np.random.default_rng(seed)
    names = [f"g{i}" for i in range(groups)]
    menus = {n: tuple(8 * (i + 1) for i in range(widths)) for n in names}
    loss = {n: np.sort(rng.exponential(size=widths))[::-1] * np.linspace(1, 0, widths) for n in names}
    pairs = [*pairwise(names)] + ([(names[-1], names[0])] if skip and groups > 2 else [])
    built = []
    for r in range(rows):
        factors = []
        for u, v in pairs:
            size = np.ceil(np.outer(menus[u], menus[v]) / 128) * rng.uniform(0.5, 2) + rng.uniform(0, 1)
            factors.append(Factor((u, v), size + rng.uniform(0, 0.3, size.shape)))
        factors.append(Factor((names[0],), np.array(menus[names[0]]) * 0.1))
        dense = 3.0 + sum(float(f.cost[(-1,) * f.cost.ndim]) for f in factors)
        built.append(Row(f"row{r}", share * dense, 3.0, tuple(factors)))
    return Problem(menus, loss, tuple(built))


def concats(seed: int, share: float = 0.5, rows: int = 1) -> Problem:
    """Dense-looking: each of three layers reads the stem and all layers before it; the last also with other weights."""
    rng = np.random.default_rng(seed)
    menus = {name: tuple(8 * (i + 1) for i in range(3)) for name in ("stem", "l1", "l2", "l3")}
    loss = {n: np.sort(rng.exponential(size=3))[::-1] * np.linspace(1, 0, 3) for n in menus}
    two, three = Sum((("stem", 1), ("l1", 1)), 3), Sum((("stem", 1), ("l1", 1), ("l2", 1)), 3)
    odd = Sum((("l2", 2), ("l3", 1)))
    built = []
    for r in range(rows):
        reads = {"l1": "stem", "l2": two.name, "l3": three.name}
        factors = []
        for out, into in reads.items():
            widths = {"stem": np.array(menus["stem"]), **{s.name: s.values(menus) for s in (two, three)}}[into]
            cost = np.ceil(np.outer(widths, menus[out]) / 128) * rng.uniform(0.5, 2)
            factors.append(Factor((into, out), cost + rng.uniform(0, 0.3, cost.shape)))
        factors.append(Factor((odd.name,), odd.values(menus) * 0.05))
        dense = sum(float(f.cost[(-1,) * f.cost.ndim]) for f in factors)
        built.append(Row(f"row{r}", share * dense, 0.0, tuple(factors), (two, three, odd)))
    return Problem(menus, loss, tuple(built))


def agrees_with_brute_force(problem: Problem) -> None:
    """The same loss, or infeasible alike; and the proven bound holds."""
    try:
        best = brute_force(problem)
    except Infeasible:
        with pytest.raises(Infeasible):
            solve(problem)
        return
    found = solve(problem)
    assert problem.feasible(problem.indices(found.choice))
    assert found.loss == pytest.approx(best.loss, rel=1e-6, abs=1e-9)
    assert found.bound <= best.loss + 1e-9


def test_values_and_ties_of_sums_by_hand() -> None:
    problem = concats(0)
    two, three, odd = problem.sums
    assert list(problem.values[two]) == [19, 27, 35, 43, 51]
    assert list(problem.values[three]) == list(range(27, 76, 8))
    assert list(problem.values[odd]) == list(range(24, 73, 8))
    whole = problem.complete({"stem": 0, "l1": 2, "l2": 1, "l3": 0})
    assert (problem.values[two][whole[two]], problem.values[three][whole[three]]) == (35, 51)
    assert problem.values[odd][whole[odd]] == 2 * 16 + 8


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), weight=st.floats(0.01, 3))
def test_the_relaxed_problem_with_sums_is_exact(seed: int, weight: float) -> None:
    problem = concats(seed)
    relaxed = Relaxed(problem)
    assert relaxed.exact
    index = relaxed.minimise(np.array([weight]))

    def value(point: dict[str, int]) -> float:
        return problem.total_loss(point) + weight * float(problem.excess(point)[0])

    every = (dict(zip(problem.menus, point, strict=True)) for point in np.ndindex(3, 3, 3, 3))
    assert value(index) == pytest.approx(min(value(point) for point in every))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.2, 0.95), rows=st.integers(1, 2))
def test_solver_equals_brute_force_with_concats(seed: int, share: float, rows: int) -> None:
    agrees_with_brute_force(concats(seed, share=share, rows=rows))


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), data=st.data())
def test_moves_change_costs_by_what_they_say(seed: int, data: st.DataObject) -> None:
    problem = concats(seed, rows=2)
    moves = Relaxed(problem).moves
    index = {name: data.draw(st.integers(0, 2)) for name in problem.menus}
    names = data.draw(st.lists(st.sampled_from(list(index)), min_size=1, max_size=2, unique=True))
    change = moves.change(index, {name: range(3) for name in names})
    for point in np.ndindex(*change.shape[1:]):
        moved = {**index, **dict(zip(names, point, strict=True))}
        assert change[(slice(None), *point)] == pytest.approx(problem.excess(moved) - problem.excess(index))


def test_elimination_finds_the_minimum_of_random_tables() -> None:
    rng = np.random.default_rng(0)
    sizes = {"a": 3, "b": 4, "c": 2, "d": 3}
    tables = [(s, rng.normal(size=[sizes[v] for v in s])) for s in [("a", "b"), ("c", "b"), ("a", "c", "d"), ("d",)]]
    index = Elimination(sizes, [s for s, _ in tables]).minimise(tables)

    def value(point: dict[str, int]) -> float:
        return float(sum(t[tuple(point[v] for v in s)] for s, t in tables))

    every = [dict(zip(sizes, point, strict=True)) for point in np.ndindex(*sizes.values())]
    assert value(index) == pytest.approx(min(value(p) for p in every))


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), share=st.floats(0.15, 0.95), rows=st.integers(1, 3))
def test_solver_equals_brute_force(seed: int, share: float, rows: int) -> None:
    agrees_with_brute_force(chain(seed, share=share, rows=rows))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10**6))
def test_more_budget_never_gives_more_loss(seed: int) -> None:
    losses, candidates = [], []
    for share in (0.3, 0.4, 0.5, 0.6, 0.8, 1.0):
        problem = chain(seed, groups=6, share=share)
        try:
            solution = solve(problem, candidates, milp_seconds=0)
        except Infeasible:
            assert not losses
            continue
        assert all(solution.costs[row.name] <= row.budget + 1e-9 for row in problem.rows)
        losses.append(solution.loss)
        candidates.append(solution.choice)
    assert losses == sorted(losses, reverse=True)


def test_milp_equals_brute_force() -> None:
    for seed in range(5):
        problem = chain(seed, rows=2, share=0.45)
        assert solve_milp(problem).loss == pytest.approx(brute_force(problem).loss, abs=1e-9)


def test_infeasible_names_the_floor() -> None:
    problem = chain(1, share=0.01)
    with pytest.raises(Infeasible, match="row0: at least") as caught:
        solve(problem)
    with pytest.raises(Infeasible) as oracle:
        brute_force(problem)
    assert caught.value.floor["row0"][0] == pytest.approx(oracle.value.floor["row0"][0])


def test_two_rows_that_cannot_be_met_together_are_infeasible() -> None:
    menu = {"g": (8, 16)}
    rising, falling = np.array([1.0, 2.0]), np.array([2.0, 1.0])
    rows = (Row("a", 1.5, 0.0, (Factor(("g",), rising),)), Row("b", 1.5, 0.0, (Factor(("g",), falling),)))
    with pytest.raises(Infeasible):
        solve(Problem(menu, {"g": np.array([1.0, 0.0])}, rows))


def test_a_loose_budget_keeps_the_dense_widths() -> None:
    problem = chain(3, share=2.0)
    assert solve(problem).choice == {name: menu[-1] for name, menu in problem.menus.items()}
    assert solve(problem).gap == 0


@pytest.mark.parametrize("problem", [chain(5, share=0.5), concats(5)])
def test_descent_stands_in_where_elimination_would_be_too_large(problem: Problem) -> None:
    relaxed = Relaxed(problem, largest_table=1)
    assert not relaxed.exact
    index = relaxed.minimise(np.array([0.5]))
    exact = Relaxed(problem).minimise(np.array([0.5]))

    def value(point: dict[str, int]) -> float:
        return problem.total_loss(point) + 0.5 * float(problem.excess(point)[0])

    assert value(exact) <= value(index) + 1e-12
    for name in index:
        for i in range(len(problem.menus[name])):
            assert value(index) <= value({**index, name: i}) + 1e-9


def test_filtered_menus_hold_the_centre() -> None:
    problem = chain(2, groups=5, widths=12)
    around = dict.fromkeys(problem.menus, 6)
    near = filtered(problem, around, cells=200)
    assert all(problem.menus[v][6] in near.menus[v] for v in problem.menus)
    assert sum(np.prod([len(near.menus[v]) for v in f.vars]) for f in near.rows[0].factors) <= 200


def test_a_resnet50_sized_problem_is_solved_close_to_its_bound() -> None:
    rng = np.random.default_rng(0)
    menus: dict[str, tuple[int, ...]] = {"stem": tuple(range(8, 65, 8))}
    pairs = []
    trunk = "stem"
    for stage, (blocks, width, hw) in enumerate([(3, 64, 56), (4, 128, 28), (6, 256, 14), (3, 512, 7)]):
        out = f"trunk{stage}"
        menus[out] = tuple(range(8, 4 * width + 1, 8))
        pairs.append((trunk, out, hw * hw))
        for b in range(blocks):
            first, second = f"s{stage}b{b}c1", f"s{stage}b{b}c2"
            menus[first] = menus[second] = tuple(range(8, width + 1, 8))
            pairs += [(trunk if b == 0 else out, first, hw * hw), (first, second, 9 * hw * hw), (second, out, hw * hw)]
        trunk = out
    factors = [Factor((u, v), k * 1e-6 * np.outer(menus[u], menus[v])) for u, v, k in pairs]
    loss = {v: rng.uniform(0.2, 2) * (1 - np.array(m) / m[-1]) ** 2 for v, m in menus.items()}
    dense = sum(float(f.cost[-1, -1]) for f in factors)
    problem = Problem(menus, loss, (Row("ms", 0.5 * dense, 0.0, tuple(factors)),))
    assert solve(problem).gap < 0.005
