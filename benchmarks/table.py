"""Rows of a benchmark: kept as JSON lines so that a killed run goes on, shown as a Markdown table in docs/."""

import json
import platform
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from edgeprune.files import write_text

BUILD = Path("build/bench")
TOOLS = ("torch", "ai-edge-litert", "litert-torch", "executorch", "coremltools")


def once(name: str, key: dict[str, Any], work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The row with this key, from build/bench/NAME.jsonl if it is there, else made by `work` and kept."""
    file = BUILD / f"{name}.jsonl"
    for row in rows(name):
        if all(row.get(field) == value for field, value in key.items()):
            return row
    row = {**key, **work()}
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(row) + "\n")
    print(json.dumps(row), flush=True)
    return row


def rows(name: str) -> list[dict[str, Any]]:
    """All rows kept so far."""
    file = BUILD / f"{name}.jsonl"
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()] if file.exists() else []


def spread(values: Sequence[float], scale: float = 1.0, digits: int = 2) -> str:
    """Mean and range, e.g. "92.71 (92.60 to 92.80)"."""
    scaled = [value * scale for value in values]
    return f"{mean(scaled):.{digits}f} ({min(scaled):.{digits}f} to {max(scaled):.{digits}f})"


def markdown(header: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(header) + " |", "|" + " --- |" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in body])


def write_section(page: Path, title: str, text: str) -> None:
    """Replace the section `## title` of a Markdown page, or append it; the rest of the page stays."""
    old = page.read_text(encoding="utf-8") if page.exists() else "# Benchmarks\n"
    head, *sections = old.split("\n## ")
    kept = [section for section in sections if section.split("\n", 1)[0] != title]
    write_text(page, "\n## ".join([head.rstrip("\n") + "\n", *kept, f"{title}\n\n{text}\n\n{machine()}\n"]))


def machine() -> str:
    """The machine and the versions behind the numbers."""
    cpu = next((line.split(":", 1)[1].strip() for line in _cpuinfo() if line.startswith("model name")), "unknown CPU")
    tools = ", ".join(f"{tool} {version(tool)}" for tool in TOOLS)
    return f"Machine: {cpu}, {platform.system()}, Python {platform.python_version()}, {tools}."


def _cpuinfo() -> list[str]:
    file = Path("/proc/cpuinfo")
    return file.read_text(encoding="utf-8").splitlines() if file.exists() else []
