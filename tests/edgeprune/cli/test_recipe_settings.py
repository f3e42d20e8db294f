"""A recipe of the user's with a setting that nothing takes: told before any work."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import edgeprune

WRONG = {
    "score: {name: l1, settings: {power: 3}}": "l1 has no setting 'power'",
    "score: {name: l3}": "Unknown score 'l3'",
}


@pytest.mark.parametrize(("score", "said"), WRONG.items())
def test_score_settings_are_told_first(
    cli: Callable[..., Any], given: list[str], tmp_path: Path, score: str, said: str
) -> None:
    lines = (Path(edgeprune.__file__).parent / "recipes" / "l1.yaml").read_text(encoding="utf-8").splitlines()
    (tmp_path / "mine.yaml").write_text("\n".join(score if line.startswith("score:") else line for line in lines))
    done = cli("optimize", *given, "--macs", "50%", "--recipe", tmp_path / "mine.yaml", "-o", "run")
    assert done.exit_code == 2
    assert said in done.stderr
    assert "Dense baseline" not in done.stderr
    assert not (tmp_path / "run").exists()
