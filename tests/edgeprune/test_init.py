"""`edgeprune init`: the template says every setting, and its defaults are Config's."""

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from edgeprune.cli import app
from edgeprune.cli.init import EXAMPLES, SECTIONS, template, write_template
from edgeprune.config import Config, make_config, read_config_file
from edgeprune.errors import EnvironmentProblem, UsageError

SETTING = re.compile(r"^#(\w+):", re.MULTILINE)


def uncommented(text: str) -> str:
    return SETTING.sub(r"\1:", text)


def test_every_setting_is_in_the_template_once() -> None:
    assert sorted(SETTING.findall(template())) == sorted(Config.model_fields)
    assert [key for keys in SECTIONS.values() for key in keys] == SETTING.findall(template())


def test_uncommented_the_template_parses_to_the_defaults(tmp_path: Path) -> None:
    file = tmp_path / "edgeprune.yaml"
    file.write_text(uncommented(template()))
    assert make_config({}, file) == Config()
    assert read_config_file(file)["threads"] == 1


def test_as_written_it_sets_nothing(tmp_path: Path) -> None:
    write_template(tmp_path / "edgeprune.yaml")
    assert read_config_file(tmp_path / "edgeprune.yaml") == {}


def test_the_examples_are_valid_settings() -> None:
    assert make_config(EXAMPLES).latency == "20ms"
    assert all(f"Example: {value}" in template() for value in ("20ms", "[0.485, 0.456, 0.406]", "0.01"))


def test_an_existing_file_is_kept_unless_forced(tmp_path: Path) -> None:
    file = tmp_path / "edgeprune.yaml"
    file.write_text("epochs: 3\n")
    with pytest.raises(UsageError, match="is there already") as caught:
        write_template(file)
    assert "--force" in caught.value.cure
    assert file.read_text() == "epochs: 3\n"
    write_template(file, force=True)
    assert file.read_text() == template()


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem):
        write_template(tmp_path / "missing" / "edgeprune.yaml")
    assert list(tmp_path.iterdir()) == []


def test_the_command_answers_in_json_and_exits_with_2_when_the_file_is_there(tmp_path: Path) -> None:
    file = tmp_path / "edgeprune.yaml"
    first = CliRunner().invoke(app, ["init", str(file), "--json"])
    assert first.exit_code == 0
    assert json.loads(first.stdout) == {"path": str(file), "keys": SETTING.findall(template())}
    second = CliRunner().invoke(app, ["init", str(file), "--json"])
    assert second.exit_code == 2
    assert json.loads(second.stdout)["error"]["exit_code"] == 2
