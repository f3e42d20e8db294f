"""Building the native runners: whole or not at all, the same bytes every time, and clear words where it cannot."""

import json
from pathlib import Path

import pytest

from profilers.android import native_build
from profilers.android.bundle import VARIABLE, bundle_for, bundles_folder, find_bundles
from profilers.errors import DeviceError, ProfilerError, RuntimeNotInstalled

ARM64, X86_64 = native_build.TARGETS


@pytest.mark.slow
def test_a_second_build_gives_the_same_bytes(native: Path, tmp_path: Path) -> None:
    place = native_build.build(X86_64, tmp_path)
    assert (place / "manifest.json").read_bytes() == (native / "x86_64" / "manifest.json").read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["x86_64"]


@pytest.mark.parametrize("target", native_build.TARGETS, ids=lambda target: target.abi)
def test_without_a_compiler_it_says_which_and_how(
    target: native_build.Target, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert native_build.main([target.abi, "-o", str(tmp_path / "out")]) == 3
    said = capsys.readouterr().err
    assert f"{target.prefix}gcc is missing" in said
    assert f"sudo apt-get install {target.debian}" in said
    assert not (tmp_path / "out").exists()


def test_a_build_that_fails_leaves_the_old_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    old = tmp_path / "out" / "x86_64"
    old.mkdir(parents=True)
    (old / "manifest.json").write_text("{}")
    for name in ("gcc", "g++"):
        (tmp_path / name).write_text("#!/bin/sh\necho it broke >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    with pytest.raises(ProfilerError, match="gcc failed: it broke"):
        native_build.build(X86_64, tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["x86_64"]
    assert (old / "manifest.json").read_text() == "{}"
    assert native_build.main(["x86_64", "-o", str(tmp_path / "out")]) == 3
    assert "it broke" in capsys.readouterr().err


def test_bundles_are_found_by_abi(native: Path) -> None:
    assert bundles_folder() == native
    assert "x86_64" in find_bundles()
    assert bundle_for(["x86", "x86_64"]).abi == "x86_64"
    with pytest.raises(DeviceError, match="armeabi-v7a"):
        bundle_for(["armeabi-v7a"])


def test_none_built_or_one_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeNotInstalled, match="make native"):
        find_bundles()
    (tmp_path / "x86_64").mkdir()
    (tmp_path / "x86_64" / "litert_run").write_text("not what was built")
    (tmp_path / "x86_64" / "manifest.json").write_text(json.dumps({"files": {"litert_run": "0" * 64}}))
    with pytest.raises(RuntimeNotInstalled, match="litert_run"):
        bundle_for(["x86_64"])
