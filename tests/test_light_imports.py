"""What starts fast, and what works without torch, stays so."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_command

from edgeprune.cli import app

ROOT = Path(__file__).parents[1]
HEAVY = ("torch", "torchvision", "numpy", "scipy", "sklearn", "plotly")


def python(code: str) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    "words", [["--help"], ["--version"], *([name, "--help"] for name in get_command(app).commands)], ids=" ".join
)
def test_help_imports_nothing_heavy(words):
    code = (
        "import sys\nfrom edgeprune.cli import app\n"
        f"try:\n    app({words!r}, prog_name='edgeprune')\nexcept SystemExit as end:\n    assert not end.code\n"
        f"print('HEAVY', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    text = python(code)
    assert "HEAVY []" in text
    assert "edgeprune" in text
    if len(words) == 2:
        assert "Examples" in text


def test_import_edgeprune_imports_no_torch():
    code = f"import sys, edgeprune\nprint([name for name in {HEAVY!r} if name in sys.modules], len(edgeprune.__all__))"
    assert python(code).split() == ["[]", "10"]


def test_profilers_work_where_torch_is_not_installed():
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in sorted((ROOT / "profilers").rglob("*.py"))
        if path.stem not in ("__init__", "__main__")
    ]
    assert "profilers.host.runner" in modules
    imports = "\n".join(f"import {module}" for module in modules)
    assert python(f"import sys\nsys.modules['torch'] = None\n{imports}\nprint('fine')") == "fine\n"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import edgeprune

    with pytest.raises(AttributeError, match="optimise"):
        _ = edgeprune.optimise
