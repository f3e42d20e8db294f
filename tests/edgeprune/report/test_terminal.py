"""The table at the end of a run fits 80 columns and reads nobody's markup."""

from pathlib import Path

import pytest
from rich.console import Console
from sample import custom_task_sample, emulated_sample, quantized_sample, sample, static_sample

from edgeprune.report.terminal import as_text, render
from edgeprune.result import Result


def shown(result: Result, width: int = 80) -> str:
    console = Console(width=width, color_system=None)
    with console.capture() as capture:
        console.print(render(result, Path("runs/a")))
    return capture.get()


@pytest.mark.parametrize("make", [sample, static_sample, custom_task_sample, emulated_sample, quantized_sample])
def test_no_line_is_longer_than_80_columns_and_no_number_is_cut(make: object) -> None:
    text = shown(make())  # type: ignore[operator]
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_it_says_what_was_reached_and_where_the_files_lie() -> None:
    text = shown(sample())
    assert "Latency 50%: met, 0.279 ms of at most 0.285 ms (measured)" in text
    assert "93.14 %" in text
    assert "runs/a/report.html" in text
    assert "runs/a/artifacts/pruned.tflite" in text
    assert "dense.tflite" not in text


def test_labels_of_evidence() -> None:
    assert shown(static_sample()).startswith("Not measured: static report.")
    assert "(emulated)" in shown(emulated_sample())
    assert "emulated" not in shown(sample())


def test_a_number_format_that_makes_the_network_slower_is_said_to() -> None:
    text = shown(quantized_sample(1.2))
    assert "int8 is slower than float32 on this target: 1.20 times its latency." in text
    assert "120.0 %" in text
    assert "dense, float32" in text
    assert "pruned, int8" in text
    assert "runs/a/artifacts/pruned-int8.tflite" in text
    assert "runs/a/artifacts/pruned.tflite" not in text, "what is shipped is the int8 file"
    assert "int8" not in shown(sample())


def test_brackets_are_text_not_markup() -> None:
    assert "[bold]x[/bold] [nonsense" in shown(sample(warnings=["[bold]x[/bold] [nonsense"]))


def test_a_custom_task_has_no_accuracy_row() -> None:
    assert "Accuracy" not in shown(custom_task_sample())
    assert "mean iou" in shown(custom_task_sample())


def test_the_plain_text_is_the_same_without_colours() -> None:
    assert "\x1b" not in as_text(sample())
    assert "Budget met" in as_text(sample())
