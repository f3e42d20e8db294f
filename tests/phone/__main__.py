"""An emulated phone by hand: `make phone`."""

import argparse
import contextlib
import shlex
import signal
import sys
import tempfile
import threading
from pathlib import Path

from tests.phone import Phone

TRY = """An emulated phone ({abi}) answers at {address}. Nothing that it measures is a phone's time. In another shell:

  adb connect {address}
  adb -s {address} shell getprop ro.product.model
  edgeprune devices
  edgeprune profile FILE --target android --serial {address}

Ctrl-C switches it off."""


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="tests.phone", description=__doc__)
    parser.add_argument("--backend", choices=["arm64", "host"], default="arm64")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--root", type=Path, help="keep the phone's files in this folder")
    options = parser.parse_args()
    for number in (signal.SIGTERM, signal.SIGINT):  # a shell's background job is started with SIGINT ignored
        signal.signal(number, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="edgeprune-phone-") as folder:
        try:
            phone = Phone(options.root or Path(folder), backend=options.backend, port=options.port)
        except FileNotFoundError as error:
            print(error, file=sys.stderr)
            return 3
        with phone:
            print(
                TRY.format(abi=phone.properties["ro.product.cpu.abi"], address=shlex.quote(phone.address)), flush=True
            )
            with contextlib.suppress(KeyboardInterrupt):
                threading.Event().wait()
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # switching off takes a moment
    return 0


if __name__ == "__main__":
    sys.exit(main())
