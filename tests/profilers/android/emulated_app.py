"""The demo app's side of docs/benchmark-protocol.md, played on the emulated phone with real inference on the host."""

import json
from collections.abc import Callable
from typing import Any

from profilers.android.app import FOLDER, PACKAGE, PROTOCOL, TAG
from profilers.errors import MeasurementError
from profilers.host.client import Worker
from tests.phone import Phone

Lie = Callable[[dict[str, Any]], str]


def read_extras(arguments: list[str]) -> dict[str, Any]:
    """The extras of `am start` by name, with their types."""
    read = {"--es": str, "--ei": int}
    found = {}
    for position, word in enumerate(arguments):
        if word in read:
            found[arguments[position + 1]] = read[word](arguments[position + 2])
    return found


def install(phone: Phone, lie: Lie = json.dumps) -> list[dict[str, Any]]:
    """Put the app on the phone; the requests it got. `lie` turns what it found into the text that it leaves."""
    requests: list[dict[str, Any]] = []

    def start(phone: Phone, arguments: list[str]) -> None:
        asked = read_extras(arguments)
        requests.append(asked)
        answer = {"protocol": PROTOCOL, "run_id": asked["run_id"], "app_version": "emulated", **_measure(phone, asked)}
        phone.state.write_log("I", TAG, f"{asked['run_id']} {answer['status']}")
        text = lie(answer)
        if text:
            phone.path(f"/data/data/{PACKAGE}/{FOLDER}/{asked['run_id']}.json").write_text(text)

    phone.install(PACKAGE)
    phone.apps[PACKAGE] = start
    return requests


def _measure(phone: Phone, asked: dict[str, Any]) -> dict[str, Any]:
    file = phone.path(f"/data/data/{PACKAGE}/files/{asked['model']}")
    if asked["protocol"] != PROTOCOL:
        return _failure("bad_request", f"protocol {asked['protocol']}")
    if asked["delegate"] != "cpu":
        return _failure("delegate", f"no delegate {asked['delegate']} here")
    if not file.is_file():
        return _failure("model_missing", asked["model"])
    try:
        with Worker(preload=asked["format"]) as worker:
            loaded = worker.load("model", file, asked["format"], asked["threads"])
            worker.warm("model", runs=asked["warmup_runs"], seconds=asked["warmup_ms"] / 1e3, max_seconds=20)
            samples = worker.run("model", asked["min_runs"])
            while sum(samples) < asked["min_ms"]:
                samples += worker.run("model", asked["min_runs"])
            return {
                "status": "ok",
                "load_ms": loaded["load_ms"],
                "first_ms": loaded["first_ms"],
                "samples_ns": [round(sample * 1e6) for sample in samples],
                "runtime": loaded["runtime"],
                "runtime_version": loaded["runtime_version"],
                "threads": loaded["threads"],
                "delegate": loaded["delegate"],
                "affinity": list(worker.affinity_seen),
                "peak_mib": 12.5,
                "pss_mib": 31.25,
                "thermal_before": 0,
                "thermal_after": phone.state.thermal_status(),
            }
    except MeasurementError as error:
        return _failure("model_unreadable", error.message)


def _failure(code: str, message: str) -> dict[str, Any]:
    return {"status": "error", "error": {"code": code, "message": message}}
