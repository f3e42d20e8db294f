"""Shell completion: what is offered for a word, and bash's way of cutting words."""

import os
import pty
import select
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torchvision

from edgeprune.cli import app, completion, completion_bash
from edgeprune.recipe import recipe_names
from edgeprune.sources import models
from tests.phone import Phone

ROOT = Path(__file__).parents[3]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of a user: two runs, a file with a network, pictures."""
    monkeypatch.chdir(tmp_path)
    for run in ("runs/net", "runs/front/50pct"):
        (tmp_path / run).mkdir(parents=True)
        (tmp_path / run / "config.yaml").touch()
    (tmp_path / "runs" / "empty").mkdir()
    (tmp_path / "pictures" / "train").mkdir(parents=True)
    (tmp_path / "net.py").write_text("def make(): ...\nclass Net: ...\ndef _help(): ...\nx = 1\n")
    (tmp_path / "net.onnx").touch()
    return tmp_path


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("completer", "word", "offered"),
    [
        (completion.runs, "", ["runs/front/50pct", "runs/net"]),
        (completion.runs, "ru", ["runs/front/50pct", "runs/net"]),
        (completion.runs, "runs/n", ["runs/net"]),
        (completion.runs, "nowhere/n", []),
        (completion.models, "net.", ["net.onnx", "net.py:"]),
        (completion.models, "net.py:", ["net.py:make", "net.py:Net"]),
        (completion.models, "builtin:resnet1", ["builtin:resnet14", "builtin:resnet110"]),
        (completion.models, "torchvision:mobilenet_v3_l", ["torchvision:mobilenet_v3_large"]),
        (completion.data, "b", ["builtin:digits"]),
        (completion.data, "folder:p", ["folder:pictures"]),
        (completion.tasks, "net.py:N", ["net.py:Net"]),
        (completion.recipes, "precr", ["precropping"]),
        (completion.formats, "litert,c", ["litert,coreml"]),
        (completion.serials, "", []),
    ],
)  # fmt: skip
def test_what_is_offered(
    completer: Callable[[str], list[str]], word: str, offered: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    assert sorted(completion._offer(completer)(word)) == sorted(offered)


def test_names_known_without_torch_are_the_right_ones() -> None:
    assert completion.torchvision_names() == sorted(torchvision.models.list_models())
    assert tuple(models.BUILTIN) == completion.BUILTIN
    assert completion.choices("target", "") == ["host", "android", "mac", "ios"]
    assert completion.choices("control", "") == ["scratch"]


def test_every_completer_serves_some_command() -> None:
    served = set()

    def look(commands: object) -> None:
        for command in getattr(commands, "commands", {}).values():
            served.update((p.param_type_name, p.name) for p in command.params if p._custom_shell_complete is not None)
            look(command)

    from typer.main import get_command

    look(get_command(app))
    assert {("option", name) for name in completion.OPTIONS} <= served
    assert {("argument", name) for name in completion.ARGUMENTS} <= served
    assert ("option", "runs") not in served, "a number of runs"


@pytest.mark.debian("adb")
@pytest.mark.debian("proot")
def test_attached_phones_are_offered(phone: Phone) -> None:
    assert completion.serials("") == [phone.address]
    assert completion.serials("x") == []


@pytest.mark.parametrize(
    ("words", "number", "joined"),
    [
        (["e", "--model", "builtin", ":", "res"], 4, ["e", "--model", "builtin:res"]),
        (["e", "--model", "builtin", ":"], 3, ["e", "--model", "builtin:"]),
        (["e", "--model", "=", "a", ":", "b"], 5, ["e", "--model=a:b"]),
        (["e", "--keep", "c", "=", "8", ""], 5, ["e", "--keep", "c=8", ""]),
        (["e", "check"], 2, ["e", "check", ""]),
        (["e", "che", "later"], 1, ["e", "che"]),
    ],
)
def test_words_are_put_together_again(words: list[str], number: int, joined: list[str]) -> None:
    assert completion_bash.join(words, number) == (joined, len(joined) - 1)


def complete(*words: str, cwd: Path) -> list[str]:
    """What the program prints when bash asks it, the last word being completed."""
    env = {**os.environ, "PYTHONPATH": str(ROOT), "_EDGEPRUNE_COMPLETE": "complete_bash",
           "COMP_WORDS": "\n".join(("edgeprune", *words)), "COMP_CWORD": str(len(words))}  # fmt: skip
    program = "import sys; sys.argv = ['edgeprune']; from edgeprune.cli import main; main()"
    done = subprocess.run([sys.executable, "-c", program], cwd=cwd, env=env, capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_the_program_completes_for_bash(here: Path) -> None:
    assert complete("optimize", "--recipe", "", cwd=here) == list(recipe_names())
    assert complete("optimize", "--model", "builtin", ":", "resnet3", cwd=here) == ["resnet32"]
    assert complete("check", "runs/", cwd=here) == ["runs/net", "runs/front/50pct"]
    assert complete("optimize", "--dry", cwd=here) == ["--dry-run"]
    assert complete("opt", cwd=here) == ["optimize"]


def test_in_a_real_bash(here: Path) -> None:
    """The script that `edgeprune --show-completion bash` prints, a line typed and completed by the Tab key."""
    (here / "bin").mkdir()
    program = here / "bin" / "edgeprune"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nfrom edgeprune.cli import main\nmain()\n"
    )
    program.chmod(0o755)
    env = {**os.environ, "PATH": f"{here / 'bin'}:{os.environ['PATH']}", "TERM": "dumb", "PS1": "ready> "}
    env["_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION"] = "1"
    script = subprocess.check_output(["edgeprune", "--show-completion", "bash"], env=env, text=True)
    (here / "script.sh").write_text(script + "\nbind 'set enable-bracketed-paste off'\n")
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(here)
        os.execvpe("bash", ["bash", "--norc", "--noprofile", "-i"], env)
    try:
        _until(terminal, "ready> ")
        os.write(terminal, b". ./script.sh\n")
        _until(terminal, "ready> ")
        os.write(terminal, b"echo edgeprune >/dev/null; edgeprune optimize --model builtin:resnet3\t")
        _until(terminal, "builtin:resnet32 ")
        os.write(terminal, b"\x15edgeprune check runs/n\t")
        _until(terminal, "check runs/net ")
    finally:
        os.write(terminal, b"\x15exit\n")
        os.close(terminal)
        os.waitpid(process, 0)


def _until(terminal: int, expected: str, seconds: float = 60) -> None:
    seen, end = "", time.monotonic() + seconds
    while expected not in seen:
        ready, _, _ = select.select([terminal], [], [], max(0.0, end - time.monotonic()))
        assert ready, f"no {expected!r} in {seen!r}"
        seen += os.read(terminal, 4096).decode(errors="replace")
