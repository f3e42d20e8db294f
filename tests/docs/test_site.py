"""The docs hold: the site builds without a warning, its commands parse, its Python compiles, the tutorial runs."""

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from edgeprune.cli import app
from tests.docs.pages import PAGES, ROOT, blocks, commands


def test_there_are_commands_to_check() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize(("page", "line"), commands(), ids=[f"{page}: {line}" for page, line in commands()])
def test_commands_of_the_docs_parse(page: str, line: str) -> None:
    del page
    command, words = typer.main.get_command(app), shlex.split(line, comments=True)[1:]
    words = words[: words.index("|")] if "|" in words else words
    context = command.make_context("edgeprune", words, resilient_parsing=False)
    while hasattr(command, "resolve_command"):
        rest = [*context._protected_args, *context.args]
        name, command, words = command.resolve_command(context, rest)
        context = command.make_context(name, words, parent=context)


def test_python_of_the_docs_compiles() -> None:
    import edgeprune

    texts = [(page, text) for page in PAGES for language, _, text in blocks(page) if language == "python"]
    assert len(texts) > 5
    for page, text in texts:
        for node in ast.walk(ast.parse(text, str(page))):
            if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "edgeprune":
                assert hasattr(edgeprune, node.attr), f"{page.name}: edgeprune.{node.attr}"


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "tutorial" / "index.html").read_text(encoding="utf-8")
    shown = re.sub(r"<[^>]+>", "", page)
    assert "edgeprune optimize --model net.py:make" in shown
    assert "```" not in shown
    assert not re.search(r'(src|href)="https?://[^"]+\.(js|css|woff2?)"', page), "nothing is fetched from elsewhere"


@pytest.mark.slow
@pytest.mark.debian("aapt")
@pytest.mark.debian("maven")
@pytest.mark.debian("apksigner")
@pytest.mark.debian("zipalign")
def test_the_tutorial_to_the_letter(tmp_path: Path) -> None:
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    for language, name, text in blocks(ROOT / "docs" / "tutorial.md"):
        if language == "python":
            (tmp_path / name).write_text(text, encoding="utf-8")
        elif language == "sh":
            done = subprocess.run(["bash", "-e", "-c", text], cwd=tmp_path, env=env, capture_output=True, text=True)
            assert done.returncode == 0, f"{text}\n{done.stdout}\n{done.stderr}"
    assert (tmp_path / "runs" / "net" / "report.html").exists()
    assert (tmp_path / "demo.apk").exists()
