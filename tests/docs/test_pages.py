"""The documentation is complete: options, settings, exit codes, recipes, fields, links, pages."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from edgeprune import errors
from edgeprune.allocate import densities, precrop
from edgeprune.cli import app
from edgeprune.config import Config
from edgeprune.recipe import ALLOCATIONS, recipe_names
from edgeprune.report import schema, schema_meanings
from edgeprune.score import CRITERIA

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])
REFERENCE = (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
RECIPES = (ROOT / "docs" / "recipes.md").read_text(encoding="utf-8")


def options(*path: str) -> set[str]:
    """Of one command; without a path of all commands and theirs."""
    command = get_command(app)
    for name in path:
        command = command.commands[name]  # type: ignore[attr-defined]
    below = getattr(command, "commands", {})
    own = {option for parameter in command.params for option in parameter.opts if option.startswith("-")}
    return own.union(*(options(*path, name) for name in below))


def test_the_schema_document_is_up_to_date() -> None:
    written = schema.DOCUMENT.read_text(encoding="utf-8")
    assert written == schema.render(), "run: python -m edgeprune.report.schema"


def test_no_meaning_is_left_of_a_field_that_is_gone() -> None:
    fields = {
        f"{model.__name__}.{field}" for model in schema._models(schema.result.Result) for field in model.model_fields
    }
    assert set(schema_meanings.MEANINGS) == fields


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (float | None, "number or null"),
        (list[float | None] | None, "list of number or null or null"),
        (dict[str, dict[str, int]], "object of object of integer"),
        (tuple[float, float], "[number, number]"),
        (list[schema.result.GroupNote], "list of [GroupNote](#groupnote)"),
    ],
)
def test_types_read_as_json(annotation: object, text: str) -> None:
    assert schema.type_text(annotation) == text


def test_every_option_is_in_the_reference_and_no_other() -> None:
    documented = set(re.findall(r"`(--?[a-z][a-z-]*)", REFERENCE))
    assert options("optimize") - documented == set()
    assert documented - options() == set()


def test_every_setting_is_an_option() -> None:
    assert {f"--{key.replace('_', '-')}" for key in Config.model_fields} <= options("optimize")


def test_every_exit_code_is_in_the_reference() -> None:
    codes = {kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", REFERENCE, re.MULTILINE)}
    assert codes | {0, 130} == documented


def test_every_recipe_criterion_and_allocation_is_documented() -> None:
    assert [name for name in recipe_names() if f"`{name}`" not in RECIPES] == []
    assert [name for name in ALLOCATIONS if f"`{name}`" not in REFERENCE] == []
    assert [name for name in CRITERIA if name not in recipe_names() and f"`{name}`" not in RECIPES] == []
    assert [name for name in (*densities.NAMES, *precrop.RULES) if f"`{name}`" not in RECIPES] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
        if not link.startswith("https://"):
            assert (page.parent / link).exists(), link


def test_every_page_is_in_the_index() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    assert [
        page.name for page in (ROOT / "docs").glob("*.md") if page.name not in index and page.name != "index.md"
    ] == []


def test_the_versions_of_the_converters_are_those_that_are_pinned() -> None:
    page = (ROOT / "docs" / "converters.md").read_text(encoding="utf-8")
    cells = dict(re.findall(r"^\| (EdgePrune's own|`make [a-z0-9-]+`) \| ([^|;]+);", page, re.MULTILINE))
    assert len(cells) == 3
    for name, cell in cells.items():
        pins = (ROOT / ("Makefile" if "make" in name else "pyproject.toml")).read_text(encoding="utf-8")
        assert [tool for tool in cell.split(", ") if tool.replace(" ", "==") not in pins] == []
