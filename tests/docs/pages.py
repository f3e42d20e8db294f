"""The pages of the documentation, their code blocks and the commands in them."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r'^```(\w*)(?: title="([\w.-]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[str, str, str]]:
    """(language, name, text) of every code block of a page."""
    return BLOCK.findall(page.read_text(encoding="utf-8"))


def commands() -> list[tuple[str, str]]:
    """(page, command) for every line of a block that begins with `edgeprune`, continued lines joined."""
    found = []
    for page in PAGES:
        for language, _, text in blocks(page):
            if language in ("", "sh", "bash", "console"):
                lines = text.replace("\\\n", " ").splitlines()
                found += [(page.name, line.strip().removeprefix("$ ")) for line in lines]
    return [(page, line) for page, line in found if line.startswith("edgeprune ")]
