"""What a recipe's axis may say: a name and settings; everything else is the user's mistake, told as such."""

from pathlib import Path

import pytest

from edgeprune.errors import UsageError
from edgeprune.recipe import Choice
from edgeprune.registry import make
from edgeprune.schedule import SCHEDULES

OWN = """
from dataclasses import dataclass

@dataclass(frozen=True)
class Rounds:
    rounds: int
    pace: float = 0.5

class Bare:
    pass

def function():
    pass
"""


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"share": "half"}, "gradual: share is 'half': .*number"),
        ({"updates": 2.5}, "gradual: updates is 2.5: .*integer"),
        ({"share": None}, "gradual: share is None"),
        ({"pace": 1}, "gradual has no setting 'pace'"),
        ({"share": 2.0}, "share 2"),
    ],
)
def test_settings_of_the_wrong_kind_are_a_usage_error(settings: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        make(Choice(name="gradual", settings=settings), SCHEDULES)


def test_numbers_that_yaml_leaves_as_text_are_numbers() -> None:
    assert make(Choice(name="gradual", settings={"share": "5e-1"}), SCHEDULES).share == 0.5


def test_ones_own_class(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    made = make(Choice(name=f"{tmp_path}/own.py:Rounds", settings={"rounds": 3}), SCHEDULES)
    assert (made.rounds, made.pace) == (3, 0.5)
    with pytest.raises(UsageError, match="Rounds needs the setting 'rounds'"):
        make(Choice(name=f"{tmp_path}/own.py:Rounds"), SCHEDULES)
    for name in ("Bare", "function"):
        with pytest.raises(UsageError, match=f"{name} is not a dataclass"):
            make(Choice(name=f"{tmp_path}/own.py:{name}"), SCHEDULES)
