import pytest

from edgeprune.schedule.cubic import cosine, cubic, units_at, update_steps

PUBLISHED = [0, 0.2439, 0.4392, 0.5913, 0.7056, 0.7875, 0.8424, 0.8757, 0.8928, 0.8991, 0.9]  # s_f = .9, ten steps


def test_the_values_of_the_paper() -> None:
    found = [cubic(100 + 50 * k, initial=0.0, final=0.9, start=100, length=500) for k in range(11)]
    assert found == pytest.approx(PUBLISHED, abs=1e-9)
    assert found == sorted(found)


def test_outside_the_window_it_is_constant_and_exact() -> None:
    settings = {"initial": 0.2, "final": 0.875, "start": 10.0, "length": 7.0}
    assert cubic(-5, **settings) == cubic(10, **settings) == 0.2
    assert cubic(17, **settings) == cubic(1000, **settings) == 0.875


def test_units_end_exactly_at_the_final_number() -> None:
    assert [units_at(k / 4, 64, 24) for k in range(5)] == [64, 41, 29, 25, 24]  # 40 (1 - (1 - k/4)^3)
    assert [units_at(1.0, 64, final) for final in range(1, 65)] == list(range(1, 65))


def test_updates_are_evenly_spaced_and_end_in_time() -> None:
    assert update_steps(4, 100) == [25, 50, 75, 100]
    assert update_steps(3, 3) == [1, 2, 3]


def test_the_cosine_of_the_regrowth() -> None:
    assert cosine(0, initial=0.5, final=0.005) == pytest.approx(0.5)
    assert cosine(0.5, initial=0.5, final=0.005) == pytest.approx(0.2525)
    assert cosine(1, initial=0.5, final=0.005) == pytest.approx(0.005)
