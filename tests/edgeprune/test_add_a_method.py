"""docs/add-a-method.md, done: its two files, taken from the page, run."""

import re
from pathlib import Path

import pytest

from edgeprune.errors import UsageError
from edgeprune.recipe import load_recipe
from edgeprune.recover.work import Length
from edgeprune.registry import make
from edgeprune.result import Result
from edgeprune.schedule import SCHEDULES

PAGE = (Path(__file__).parents[2] / "docs" / "add-a-method.md").read_text(encoding="utf-8")


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder with the page's files, and that folder as the working one."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r'^```\w+ title="(noisy\.\w+)"\n(.*?)^```$', PAGE, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in blocks] == ["noisy.py", "noisy.yaml"]
    for name, text in blocks:
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.usefixtures("written")
def test_the_recipe_of_the_page_makes_its_schedule() -> None:
    recipe = load_recipe("noisy.yaml")
    schedule = make(recipe.schedule, SCHEDULES)
    assert (recipe.name, type(schedule).__name__, schedule.strength) == ("noisy", "Noisy", 0.05)
    with pytest.raises(UsageError, match="noise needs a training"):
        schedule.check(Length(0, 10))
    wrong = recipe.schedule.model_copy(update={"settings": {"power": 1}})
    with pytest.raises(UsageError, match=r"has no setting 'power'"):
        make(wrong, SCHEDULES)


def test_the_page_lists_what_the_command_line_shows(cli, written: Path) -> None:
    done = cli("methods", written / "noisy.yaml")
    assert done.exit_code == 0
    assert "whether noise helps at all" in done.stdout
    assert "Noisy (strength 0.05)" in done.stdout


@pytest.mark.slow
def test_the_page_end_to_end(cli, given, written: Path) -> None:
    done = cli("optimize", *given, "--macs", "60%", "--recipe", written / "noisy.yaml", "--formats", "litert", "--json",
               "-o", "run")  # fmt: skip
    assert done.exit_code == 0, done.stderr
    result = Result.model_validate_json(done.stdout)
    assert result.recipe == "noisy"
    assert result.recovery.facts == {"noise": 0.05}
    assert result.recovery.schedule.endswith("noisy.py:Noisy")
    assert len(result.recovery.epochs) == 1
