"""One conversion in a process of its own: a request as JSON on stdin, the outcome as JSON on the given descriptor.

Whatever the libraries print goes to the log, which is this process's stdout and stderr.
"""

import json
import os
import sys
import time
import traceback
from typing import Any

from edgeprune.conversion.request import Request


def main() -> None:
    """Entry point: `python -m edgeprune.conversion.worker DESCRIPTOR`."""
    descriptor = int(sys.argv[1])
    request = Request(**json.load(sys.stdin))
    try:
        answer = work(request)
    except Exception as error:  # everything is told to the parent, which knows exit codes
        traceback.print_exc()
        answer = {"error": _told(error)}
    with os.fdopen(descriptor, "w") as pipe:
        json.dump(answer, pipe)


def work(request: Request) -> dict[str, Any]:
    """Load, convert, prove, remember; a file that does not do what the model does is removed and is an error."""
    from edgeprune.conversion.cache import store
    from edgeprune.conversion.convert_one import convert_one

    started = time.monotonic()
    outcome, files = convert_one(request)
    outcome["seconds"] = round(time.monotonic() - started, 2)
    store(request, outcome, files)
    return outcome


def _told(error: Exception) -> dict[str, Any]:
    from edgeprune.errors import explain

    known = explain(error)
    if known is None:
        return {"message": f"{type(error).__name__}: {error}", "cure": "Please report it.", "exit_code": 1}
    return {"message": known.message, "cure": known.cure, "exit_code": known.exit_code}


if __name__ == "__main__":
    main()
