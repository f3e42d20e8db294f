"""`edgeprune inspect`: what is in a converted file, and whether it is smaller than another."""

from pathlib import Path
from typing import Annotated, Any

import typer

EPILOG = """[bold]Examples[/bold]

What a file holds:

  edgeprune inspect model.tflite

Did pruning reach the file? Ends with code 6 if nothing got smaller:

  edgeprune inspect runs/demo/artifacts/pruned.pte --against runs/demo/artifacts/dense.pte

[bold]Exit codes[/bold]: 0 done, 2 no such file or none of the four kinds, 3 environment, 6 nothing smaller
"""


def inspect(
    file: Annotated[Path, typer.Argument(help="A .tflite, .pte, .mlpackage or .onnx.", show_default=False)],
    against: Annotated[
        Path | None,
        typer.Option("--against", help="The dense file, which this one has to beat.", metavar="DENSE"),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Facts as JSON on stdout.")] = False,
) -> None:
    """Show inputs, outputs, operations and who runs them, parameters, widths and size of a converted file."""
    from edgeprune.cli.failure import reported

    with reported(json):
        _run(file, against, json)


def _run(file: Path, against: Path | None, as_json: bool) -> None:
    import converters
    from edgeprune.errors import ParityError, UsageError

    found = converters.inspect(file)
    failures: list[str] | None = None
    fewer_bits = ""
    if against is not None:
        dense = converters.inspect(against)
        if dense.format != found.format:
            raise UsageError(
                f"{file.name} is a {found.format} file, {against.name} a {dense.format} file.",
                "Compare two files of one format.",
            )
        if converters.same_layers_reduced(dense, found):
            failures = []
            fewer_bits = f"  the same layers as {against}, in {found.size_bytes / dense.size_bytes:.0%} of its bytes"
        else:
            failures = converters.check_smaller(dense, found)
    if not as_json:
        _print_table(file, found, fewer_bits)
    facts = _facts(found, failures)
    if failures:
        from edgeprune.cli.failure import tell

        cure, code = f"Compared with {against}.", ParityError.exit_code
        tell(f"{file.name} gained nothing: {'; '.join(failures)}.", cure, code, as_json, facts)
        raise typer.Exit(code)
    if as_json:
        import json

        typer.echo(json.dumps(facts, indent=2))


def _facts(found: Any, failures: list[str] | None) -> dict[str, Any]:
    from dataclasses import asdict

    facts = {**asdict(found), "ops_by_backend": found.ops_by_backend}
    return facts if failures is None else {**facts, "not_smaller": failures}


def _print_table(file: Path, found: Any, fewer_bits: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from edgeprune.report.text import size

    console = Console()
    params = f"{found.params:,} parameters" if found.params else "parameters out of sight"  # inside a delegate
    summary = f"{file.name}: {found.format}, {size(found.size_bytes)}, {params}"
    console.print(summary, highlight=False)
    for title, specs in (("input", found.inputs), ("output", found.outputs)):
        for spec in specs:
            shape = " x ".join("any" if n < 0 else str(n) for n in spec.shape)
            console.print(f"  {title} {spec.name}: {shape} {spec.dtype}", highlight=False)
    console.print(f"  widths: {' '.join(map(str, found.widths)) or 'no layer with weights'}", highlight=False)
    table = Table("operation", "count", "runs in")
    for backend, ops in found.ops_by_backend.items():
        for name, count in sorted(ops.items(), key=lambda item: (-item[1], item[0])):
            table.add_row(name, str(count), backend)
    console.print(table)
    if found.delegated_share is not None:
        console.print(f"  {found.delegated_share:.0%} of the operations are delegated", highlight=False)
    if found.transposes:
        console.print(f"  {found.transposes} transposes", highlight=False)
    if fewer_bits:
        console.print(fewer_bits, highlight=False)
