"""The notebook of the docs runs, cell by cell, as Jupyter would run it; what trains and measures, in the slow tests."""

import json
from pathlib import Path
from typing import Any

import pytest

NOTEBOOK = Path(__file__).parents[2] / "docs" / "ten-minutes.ipynb"


def cells() -> list[dict[str, Any]]:
    """The cells with code."""
    return [cell for cell in json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def execute(*, slow: bool) -> dict[str, Any]:
    """The names that the cells leave; without `slow` those tagged so are left out."""
    names: dict[str, Any] = {"__name__": "__main__"}
    for cell in cells():
        if slow or "slow" not in cell["metadata"].get("tags", []):
            exec(compile("".join(cell["source"]), f"cell {cell['id']}", "exec"), names)
    return names


def test_it_is_kept_without_outputs() -> None:
    assert len({cell["id"] for cell in cells()}) == len(cells()) > 4
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells())


def test_its_quick_cells_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = execute(slow=False)
    assert names["dense_accuracy"] > 0.9, "a network that learned nothing shows nothing"
    assert names["count"](names["slim"]) < 0.5 * names["count"](names["model"])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_all_of_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(tmp_path / "cache"))
    names = execute(slow=True)
    assert names["result"].met
    assert names["accuracy"](names["network"]) > 0.9
    assert (tmp_path / "digits-run" / "report.html").exists()
