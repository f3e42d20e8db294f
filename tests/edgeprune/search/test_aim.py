import pytest

from edgeprune.search.aim import Aim, fills, keeps
from edgeprune.search.limits import Measured


@pytest.mark.parametrize(
    ("ms", "upper", "kept", "filled"),
    [
        (9.7, 9.8, True, True),
        (9.4, 9.6, True, False),  # room for 6 % more
        (9.2, 9.95, True, True),  # noise takes the rest
        (8.9, 9.95, True, False),  # too much noise to tell
        (9.9, 10.1, False, False),
    ],
)
def test_a_candidate_fills_the_budget_where_its_median_does_or_noise_takes_the_rest(ms, upper, kept, filled) -> None:
    found = Measured(ms, upper)
    assert (keeps(found, 10.0), fills(found, 10.0)) == (kept, filled)


def test_the_aim_leaves_room_for_the_intervals_that_are_seen() -> None:
    aim = Aim()
    assert aim.share == pytest.approx(0.97, abs=1e-3)
    for _ in range(3):
        aim.observe(Measured(1.0, 1.1))
    assert aim.share == pytest.approx(0.985 / 1.1)
    aim.lower()
    assert aim.share == pytest.approx(0.975 / 1.1)
