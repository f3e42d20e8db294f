"""The measuring process with one more format, "fake", whose files say in JSON what the session is to do."""

import functools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from profilers import runtimes
from profilers.host import worker


class FakeSession(runtimes._Session):
    """busy_ms: spin that long a run. alloc_mib: touch that much at load. crash, hang: at the first run."""

    runtime, runtime_version = "fake", "1"

    def __init__(self, path: Path, threads: int) -> None:
        self.orders, self.threads = json.loads(path.read_text()), threads
        self.held = np.ones(self.orders.get("alloc_mib", 0) << 20, np.uint8)

    def set_inputs(self, inputs: object) -> None:
        pass

    def invoke(self) -> None:
        if "crash" in self.orders:
            print("the fake runtime says: bad kernel", file=sys.stderr, flush=True)
            os.abort()
        if "print" in self.orders:
            os.write(1, b"a runtime that chats on stdout\n")
        if "hang" in self.orders:
            time.sleep(self.orders["hang"])
        end = time.perf_counter() + self.orders.get("busy_ms", 0) / 1e3
        while time.perf_counter() < end:
            pass


@functools.cache
def preload() -> None:
    """As imports do, once: a high watermark that is gone when the model is loaded."""
    np.ones(128 << 20, np.uint8).sum()


runtimes.OPENERS["fake"] = FakeSession
runtimes.PRELOAD["fake"] = preload

if __name__ == "__main__":
    worker.main()
