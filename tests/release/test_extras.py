"""The extras: those that are promised are there, their names are real requirements, `doctor` knows them."""

import tomllib
from pathlib import Path

from packaging.requirements import Requirement

from edgeprune.doctor import EXTRAS

PROJECT = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
OPTIONAL = PROJECT["optional-dependencies"]
TOGETHER = ("litert", "executorch", "coreml", "onnx", "android", "distributed", "tensorboard")
APART = ("onnx2tf", "federated")  # want other versions than the rest, and so environments of their own


def needs(extra: str) -> list[Requirement]:
    """What an extra asks for."""
    return [Requirement(text) for text in OPTIONAL[extra]]


def test_what_is_promised_is_there() -> None:
    assert [extra for extra in (*TOGETHER, *APART, "all") if not OPTIONAL.get(extra)] == []


def test_extras_of_extras_exist() -> None:
    inner = {e for extra in OPTIONAL for need in needs(extra) if need.name == "edgeprune" for e in need.extras}
    assert inner <= set(OPTIONAL)


def test_all_is_what_goes_into_one_environment() -> None:
    (everything,) = needs("all")
    assert everything.extras == set(TOGETHER)


def test_doctor_looks_for_the_packages_of_the_extras() -> None:
    for extra, packages in EXTRAS.items():
        assert set(packages) <= {need.name for need in needs(extra)}, extra
