"""bench_ios.py: `bench.py` and the modules that it needs, in one file that runs on a Mac without EdgePrune."""

import re
from pathlib import Path

_ROOT = Path(__file__).parents[2]
_NEEDED = ("converters/artifact.py", "profilers/measurement.py", "profilers/statistics.py", "profilers/protocol.py")
_OURS = re.compile(r"^from (?:converters|profilers)\.[\w.]+ import [^\n(]+\n", re.MULTILINE)
_DOCSTRING = re.compile(r'\A"""(?:.|\n)*?"""\n')


def bench_script() -> str:
    """The text of the script: the docstring of `bench.py`, then every module without its own, in order of use."""
    bench = (_ROOT / "profilers/apple/bench.py").read_text(encoding="utf-8")
    head = _DOCSTRING.match(bench)
    assert head is not None
    parts = [(_ROOT / name).read_text(encoding="utf-8") for name in _NEEDED]
    bodies = [_OURS.sub("", _DOCSTRING.sub("", text)).strip() for text in (*parts, bench)]
    return "#!/usr/bin/env python3\n" + head[0] + "\n" + "\n\n\n".join(bodies) + "\n"
