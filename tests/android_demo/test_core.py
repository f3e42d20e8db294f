"""The app's plain Java: its own JUnit tests on the JVM, and the protocol's JSON in both directions."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from pydantic import ValidationError

from profilers.android.app import REPLY, Failed, Measured
from tests.android_demo.golden import turns

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def junit(golden: Path) -> Path:
    """The golden folder after the JUnit tests ran on it, with the replies that they leave."""
    command = ["mvn", "-q", "-B", "-f", str(ROOT / "android_demo" / "core"), "test", f"-Dgolden={golden}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=500)
    (golden / "maven.txt").write_text(done.stdout + done.stderr)
    assert done.returncode == 0, done.stdout[-6000:]
    return golden


@pytest.mark.debian("maven")
@pytest.mark.usefixtures("junit")
def test_the_java_of_the_app_passes_its_own_tests():
    reports = (ROOT / "build" / "android_demo" / "core" / "surefire-reports").glob("TEST-*.xml")
    counts = [
        tuple(map(int, re.findall(r'(?:tests|errors|failures|skipped)="(\d+)"', r.read_text())[:4])) for r in reports
    ]
    assert sum(count[0] for count in counts) >= 20
    assert all(count[1:] == (0, 0, 0) for count in counts)


@pytest.mark.debian("maven")
def test_replies_of_the_app_are_what_the_profiler_reads(junit):
    replies = {file.stem: REPLY.validate_json(file.read_text()) for file in (junit / "replies").glob("*.json")}
    measured, unknown = replies.pop("ok"), replies.pop("unknown")
    assert isinstance(measured, Measured)
    assert isinstance(unknown, Measured)
    assert len(measured.samples_ns) == 3
    assert measured.runtime_version.startswith("2.")
    assert measured.pss_mib == 1.0
    assert unknown.peak_mib is None
    assert unknown.pss_mib is None
    assert unknown.thermal_before is None
    assert all(isinstance(reply, Failed) for reply in replies.values())
    codes = set(Failed.model_json_schema()["$defs"]["Problem"]["properties"]["code"]["enum"])
    assert {reply.error.code for reply in replies.values()} == codes, "the two sides know other failures"


@pytest.mark.debian("maven")
def test_requests_of_the_profiler_are_what_the_app_reads(junit):
    understood = json.loads((junit / "understood.json").read_text())
    assert understood.keys() == turns().keys()
    for name, (turn, delegate) in turns().items():
        found, suffix = understood[name], {"litert": ".tflite", "executorch": ".pte"}[turn.artifact.format]
        assert found == {
            "run_id": f"run-{name}",
            "model": f"benchmark/0123456789abcdef0123456789abcdef{suffix}",
            "format": turn.artifact.format,
            "delegate": delegate,
            "shapes": [list(spec.shape) for spec in turn.artifact.inputs],
            "threads": turn.threads,
            "warmup_runs": turn.warmup_runs,
            "warmup_ms": round(turn.warmup_seconds * 1000),
            "min_runs": turn.min_runs,
            "max_runs": turn.max_runs,
            "min_ms": round(turn.min_seconds * 1000),
            "max_ms": round(turn.max_seconds * 1000),
        }


@pytest.mark.debian("maven")
def test_a_reply_with_anything_else_in_it_is_refused(junit):
    reply = json.loads((junit / "replies" / "ok.json").read_text())
    for change in ({"samples_ns": []}, {"threads": "1"}, {"thermal_before": 7}, {"more": 1}, {"protocol": 2}):
        with pytest.raises(ValidationError):
            REPLY.validate_json(json.dumps({**reply, **change}))
