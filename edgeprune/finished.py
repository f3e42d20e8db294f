"""What a finished run left, read; what is missing or damaged is told in words."""

from pathlib import Path

from edgeprune.errors import UsageError
from edgeprune.graph import Widths
from edgeprune.result import Result


def read_result(run: Path) -> Result:
    """result.json of a finished run. Raises UsageError."""
    file = run / "result.json"
    if not file.is_file():
        places = (Path("runs"), run.parent)
        runs = sorted({str(found.parent) for place in places for found in place.glob("*/result.json")})
        cure = f"Finished runs here: {', '.join(runs)}." if runs else "Give the run directory of optimize."
        raise UsageError(f"{run} is not a finished run: it has no result.json.", cure)
    try:
        result = Result.model_validate_json(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        told = str(error).splitlines()
        raise UsageError(f"{file} cannot be read: {' '.join(told[:3])}", "Give a run of this version.") from error
    for entry in result.artifacts:
        if Path(entry.path).is_absolute() or ".." in Path(entry.path).parts:
            raise UsageError(
                f"{file} names {entry.path}, which lies outside of the run.", "Take runs from whom you trust."
            )
    return result


def read_widths(run: Path) -> Widths:
    """widths.json of a finished run. Raises UsageError, or SurgeryError if it is no widths file."""
    file = run / "widths.json"
    try:
        return Widths.from_json(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}", "Give the run directory of optimize.") from error
