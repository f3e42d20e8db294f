"""The headline and the tables say what the numbers say, and no more."""

from sample import custom_task_sample, emulated_sample, quantized_sample, sample, static_sample

from edgeprune.report import facts
from edgeprune.result import Result


def with_ratio(low: float, high: float) -> Result:
    run = sample().model_dump()
    run["budget"]["requirements"][0]["ratio_ci95"] = [low, high]
    return Result.model_validate(run)


def test_the_headline_of_a_met_budget() -> None:
    assert facts.headline(sample()) == (
        "Budget met: builtin:resnet20 takes 0.279 ms instead of 0.570 ms (48.9 % of dense; asked: latency 50%), "
        "2.04 times faster, at 92.51 % accuracy on test (dense 93.14 %, -0.63 points), "
        "measured on AMD EPYC 7B13, LiteRT, 1 thread."
    )


def test_faster_is_said_only_if_the_interval_excludes_one() -> None:
    assert "times faster" in facts.headline(with_ratio(0.90, 0.99))
    assert "no measurable difference" in facts.headline(with_ratio(0.90, 1.01))
    assert "slower" in facts.headline(with_ratio(1.01, 1.10))
    assert "faster" not in facts.headline(with_ratio(1.01, 1.10))


def test_a_budget_that_was_missed() -> None:
    assert facts.headline(sample(met=False)).startswith("Budget not met: builtin:resnet20 takes 0.279 ms")


def test_nothing_pruned() -> None:
    run = sample().model_dump()
    text = facts.headline(Result.model_validate({**run, "pruned": run["dense"]}))
    assert text.startswith("Nothing was pruned: the dense builtin:resnet20 takes 0.570 ms (asked: latency 50%)")
    assert "faster" not in text


def test_a_number_format_beside_float32() -> None:
    rows = {row.label: (row.full, row.reduced, row.change) for row in facts.twin_rows(quantized_sample())}
    assert rows == {
        "dense, accuracy": ("93.14 %", "93.02 %", "-0.12 pts"),
        "dense, latency": ("0.570 ms", "0.177 ms", "31.0 %"),
        "dense, file size": ("1.09 MB", "301 kB", "27.6 %"),
    }
    assert facts.headline(quantized_sample()).startswith("Budget met: builtin:resnet20 in int8 takes 0.279 ms instead")
    assert facts.columns(quantized_sample()) == ("dense, float32", "pruned, int8")
    assert facts.twin_rows(sample()) == []


def test_a_dense_network_that_only_had_to_be_quantised() -> None:
    run = quantized_sample().model_dump()
    costs = {key: run["dense"][key] for key in ("macs", "params")}
    result = Result.model_validate({**run, "pruned": {**run["pruned"], **costs}})
    assert facts.headline(result).startswith(
        "Nothing was pruned: the dense builtin:resnet20 in int8 takes 0.279 ms instead of 0.570 ms (48.9 % of float32;"
    )
    assert facts.columns(result) == ("dense, float32", "dense, int8")
    assert [artifact.path for artifact in facts.shipped(result)] == ["artifacts/dense-int8.tflite"]


def test_a_static_report_claims_no_latency() -> None:
    result = static_sample()
    assert facts.evidence(result) == "not measured"
    text = facts.headline(result)
    assert "14.2 M MACs instead of 31.6 M (44.9 %; asked: macs 50%)" in text
    assert text.endswith("latency and memory were not measured.")
    assert "measured on" not in text
    latency = next(row for row in facts.comparison(result) if row.label.startswith("Latency"))
    assert (latency.dense, latency.pruned, latency.change) == ("not measured", "not measured", "")


def test_an_emulated_phone_is_called_so_everywhere() -> None:
    result = emulated_sample()
    assert "these are not a phone's numbers" in facts.headline(result)
    assert "faster" not in facts.headline(result)
    labels = [row.label for row in facts.comparison(result)]
    assert "Latency, median (emulated)" in labels
    assert "Peak memory (emulated)" in labels
    assert facts.budget_rows(result)[0].source == "emulated"


def test_a_task_of_the_users_own() -> None:
    rows = {row.label: row for row in facts.comparison(custom_task_sample())}
    assert (rows["mean iou"].dense, rows["mean iou"].pruned, rows["mean iou"].change) == ("0.7421", "0.7313", "-0.0108")
    assert "Accuracy" not in rows
    assert "0.7313 mean iou on test (dense 0.7421, -0.0108)" in facts.headline(custom_task_sample())


def test_the_comparison() -> None:
    rows = {row.label: row for row in facts.comparison(sample())}
    assert (rows["Accuracy"].dense, rows["Accuracy"].pruned, rows["Accuracy"].change) == (
        "93.14 %",
        "92.51 %",
        "-0.63 pts",
    )
    assert rows["Latency, median"].detail == ("0.559 to 0.610", "0.273 to 0.299")
    assert rows["MACs"].change == "44.9 %"
    assert rows["File size"].pruned == "431 kB"
    assert "accuracy" not in rows


def test_the_budget_row_holds_the_paired_interval() -> None:
    row = facts.budget_rows(sample())[0]
    assert (row.label, row.asked, row.limit, row.achieved) == ("Latency", "50%", "0.285 ms", "0.279 ms")
    assert row.ratio == "48.9 % (48.5 to 49.3)"
    assert (row.source, row.verdict) == ("measured", "met")


def test_widths_come_from_the_groups_when_the_result_gives_no_pairs() -> None:
    result = sample(widths={"stem": {"0": 16}})
    assert facts.widths(result)["layer3"] == (64, 40)
    assert facts.widths(sample())["layer3"] == (64, 40)
    assert facts.widths(sample())["fc"] == (10, 10)
