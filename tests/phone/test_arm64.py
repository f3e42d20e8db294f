"""The whole chain: arm64 programs behind the real adb, LiteRT and ExecuTorch on them, outputs against torch's."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.phone import Kill, Phone
from tests.phone.fixtures import adb

pytestmark = [pytest.mark.slow, pytest.mark.debian("qemu-user-static"), pytest.mark.debian("g++-aarch64-linux-gnu")]
FOLDER = "/data/local/tmp/runners"
FILES = {"litert": "digits.tflite", "executorch": "digits.pte"}
IMAGES = 3
FEW = "--warmup-runs 1 --warmup-seconds 0 --min-runs 3 --max-runs 3"


@pytest.fixture(scope="module")
def digits(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[np.ndarray]]:
    """A folder with a trained network's files and inputs in.0, in.1, ..., and what torch answers to these."""
    from benchmarks.train_baseline import train
    from converters import convert
    from edgeprune.sources.data import load_data
    from edgeprune.sources.models import load_model

    folder = tmp_path_factory.mktemp("digits")
    assert train("builtin:resnet8", "builtin:digits", 15, 0.1, 0, folder / "digits.safetensors") > 0.9
    network = load_model("builtin:resnet8", folder / "digits.safetensors").eval()
    images = load_data("builtin:digits").test.tensors[0][:IMAGES]
    for format, name in FILES.items():
        convert(network, images[:1], format, folder / name)  # type: ignore[arg-type]
    for number, image in enumerate(images):
        image.numpy().tofile(folder / f"in.{number}")
    with torch.no_grad():
        return folder, [network(image[None]).numpy() for image in images]


@pytest.fixture
def loaded(arm64_phone: Phone, native_arm64: Path, digits: tuple[Path, list[np.ndarray]]) -> Phone:
    """The phone with runners, models and inputs on it."""
    assert adb("push", f"{native_arm64}/.", FOLDER).returncode == 0
    assert adb("push", f"{digits[0]}/.", FOLDER).returncode == 0
    return arm64_phone


def run(program: str, options: str) -> "subprocess.CompletedProcess[str]":
    loader = "./ld-linux-aarch64.so.1 --library-path ."
    return adb("shell", f"cd {FOLDER} && {loader} ./{program} {options} 2>/dev/null", timeout=120)


@pytest.mark.usefixtures("arm64_phone")
def test_it_is_an_arm64_machine() -> None:
    assert adb("shell", "uname -m; getprop ro.product.cpu.abi").stdout.split() == ["aarch64", "arm64-v8a"]
    assert "CPU part\t: 0xd05" in adb("shell", "cat /proc/cpuinfo").stdout
    assert adb("shell", "getprop ro.edgeprune.emulated").stdout == "1\n"


@pytest.mark.parametrize("format", FILES)
def test_outputs_on_arm64_are_those_of_torch(
    loaded: Phone, digits: tuple[Path, list[np.ndarray]], tmp_path: Path, format: str
) -> None:
    answers = []
    for number, expected in enumerate(digits[1]):
        done = run(f"{format}_run", f"--model {FILES[format]} --input in.{number} --output out {FEW}")
        assert done.returncode == 0, done.stdout
        line: dict[str, Any] = json.loads(done.stdout)
        assert (line["runtime"], line["threads"], len(line["samples_ns"])) == (format, 1, 3)
        assert adb("pull", f"{FOLDER}/out.0", str(tmp_path / "out")).returncode == 0
        answers.append(np.fromfile(tmp_path / "out", np.float32).reshape(expected.shape))
        np.testing.assert_allclose(answers[-1], expected, atol=1e-4)
    assert not np.allclose(answers[0], answers[1], atol=1.0)  # three images, three answers
    assert not loaded.left_behind()


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("format", FILES)
def test_cores_and_threads_on_arm64(format: str) -> None:
    line = json.loads(run(f"{format}_run", f"--model {FILES[format]} --threads 2 --cpus 1 {FEW}").stdout)
    assert (line["cpus_asked"], line["cpus"], line["threads"]) == ([0], [0], 2)


def test_a_runner_killed_on_arm64(loaded: Phone) -> None:
    loaded.faults.kill = Kill("litert_run", after_s=0.2)
    assert run("litert_run", f"--model {FILES['litert']} --min-seconds 100 --max-runs 1000000").returncode == 137
    assert "lowmemorykiller" in adb("logcat", "-d").stdout


@pytest.mark.usefixtures("loaded")
def test_known_memory_on_arm64() -> None:
    line = json.loads(run("litert_run", f"--allocate 64 {FEW}").stdout)
    assert 64 * 1024 <= line["hwm_kib"] - line["rss_before_kib"] < 68 * 1024
