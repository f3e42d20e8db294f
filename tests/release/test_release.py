"""What a release has to pass: sdist and wheel are built, and the wheel alone works in a fresh environment."""

import os
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.release.licences import PAGE, closure, render

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with sdist and wheel, made from what is committed."""
    source, out = tmp_path_factory.mktemp("source") / "edgeprune", tmp_path_factory.mktemp("dist")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(source)], check=True)
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(out), str(source)], check=True, capture_output=True)
    return out


@pytest.fixture(scope="module")
def fresh(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, minimal: no extra."""
    place = tmp_path_factory.mktemp("fresh") / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    wheel = next(built.glob("*.whl"))
    subprocess.run([place / "bin" / "pip", "install", "--quiet", "--disable-pip-version-check", wheel], check=True)
    return place / "bin"


def run(programs: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """The installed command, far from the source tree."""
    env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    return subprocess.run([programs / "edgeprune", *words], cwd=cwd, env=env, capture_output=True, text=True)


def test_wheel_and_sdist_hold_what_runs(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as sdist:
        sources = {name.split("/", 1)[1] for name in sdist.getnames() if "/" in name}
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in tracked if name.split("/")[0] in ("edgeprune", "converters", "profilers")}
    assert not ours - names, "not in the wheel"
    assert not ours - sources, "not in the sdist"
    assert not {name for name in names if name.startswith(("tests/", "benchmarks/"))}


def test_the_version_is_in_the_changelog() -> None:
    version = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert version is not None
    assert version[1] in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_minimal_installation_prunes_and_says_what_to_add(fresh: Path, tmp_path: Path) -> None:
    assert run(fresh, "--version", cwd=tmp_path).stdout.startswith("edgeprune ")
    pruned = run(
        fresh, "prune", "--model", "torchvision:mobilenet_v3_small", "--macs", "50%", "-o", "slim", cwd=tmp_path
    )
    assert pruned.returncode == 0, pruned.stderr
    assert (tmp_path / "slim" / "model.safetensors").exists()
    refused = run(fresh, "convert", "torchvision:mobilenet_v3_small", "--to", "litert", "-o", "files", cwd=tmp_path)
    assert refused.returncode == 3, refused.stderr
    assert 'pip install "edgeprune[litert]"' in " ".join((refused.stdout + refused.stderr).split())
    asked = run(fresh, "doctor", cwd=tmp_path)
    assert asked.returncode in (0, 3, 5)
    assert "Traceback" not in asked.stderr


def test_licences_are_listed() -> None:
    page = PAGE.read_text(encoding="utf-8")
    missing = [name for name in closure("edgeprune", {"all"}) if f"| {name} |" not in page]
    assert not missing, f"run `python -m tests.release.licences`: {missing}"
    assert not re.search(r"\bA?GPL", render()), "a licence that would bind users"
