"""report.html is one file that loads nothing, shows the numbers and runs nobody else's script."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import plotly.graph_objects as go
import pytest
from sample import (
    CLASSES,
    custom_task_sample,
    emulated_sample,
    measurements,
    quantized_sample,
    sample,
    static_sample,
)

from edgeprune.errors import EnvironmentProblem
from edgeprune.report import figures
from edgeprune.report.figures import all_figures
from edgeprune.report.html import render, write_report
from edgeprune.result import Result

HOSTILE = '<script>alert("x")</script>'


class Page(HTMLParser):
    """Text, tags and scripts of a page; void elements aside, every element must be closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.scripts: list[str] = []
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == [], f"never closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value or "" for key, value in attrs if key in ("src", "href", "srcset", "action", "data")]
        assert not [key for key, _ in attrs if key.startswith("on")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts.append(data)
        elif self.open and self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())


def figures_of(source: str) -> dict[str, dict[str, object]]:
    found = re.search(r'<script type="application/json" id="figures">(.*?)</script>', source, re.DOTALL)
    assert found is not None
    loaded: dict[str, dict[str, object]] = json.loads(found.group(1))
    return loaded


def test_the_numbers_are_there() -> None:
    page = Page(render(sample(), measurements()))
    for expected in ("92.51 %", "93.14 %", "0.279 ms", "0.570 ms", "48.9 % (48.5 to 49.3)", "2.00 MiB", "431 kB"):
        assert expected in page.text
    assert "3f2a" * 16 in page.text
    assert "2.4e-06" in page.text
    assert "network output" in page.text
    assert "asked 14, widths are multiples of 8" in page.text
    assert "edgeprune optimize --model builtin:resnet20" in page.text
    assert "Doubtful measurement, pruned: machine busy: load 2.3 on 2 cores" in page.text
    assert "load 1min 0.8, cores 2, governor performance" in page.text
    assert "45123" not in page.text
    assert "not measured" not in page.text
    assert "emulated" not in page.text


def test_nothing_is_loaded_from_anywhere() -> None:
    source = render(sample(), measurements())
    page = Page(source)
    assert page.links == []
    assert not {"link", "iframe", "img", "object", "embed", "base", "form"} & set(page.tags)
    assert "default-src 'none'" in source
    style = source[source.index("<style>") : source.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style


def test_it_starts_with_the_doctype() -> None:
    assert render(sample(), {}).startswith("<!doctype html>")


@pytest.mark.parametrize("place", ["class", "group", "reason", "command", "model", "path", "warning", "device"])
def test_hostile_names_are_shown_not_run(place: str) -> None:
    run = sample().model_dump()
    if place == "class":
        run["data"]["class_names"] = [HOSTILE, *CLASSES[1:]]
    elif place == "group":
        run["widths"] = {HOSTILE: {"dense": 16, "kept": 8}}
    elif place == "reason":
        run["groups"]["frozen"][0]["reason"] = HOSTILE
    elif place == "path":
        run["artifacts"][0]["path"] = HOSTILE
    elif place == "warning":
        run["warnings"] = [HOSTILE]
    elif place == "device":
        run["device"]["soc"] = HOSTILE
    else:
        run[place] = HOSTILE
    source = render(Result.model_validate(run), measurements())
    assert HOSTILE not in source
    assert len(Page(source).scripts) == len(Page(render(sample(), measurements())).scripts)
    assert HOSTILE in Page(source).text


def test_names_inside_pictures_are_escaped_for_plotly() -> None:
    run = sample().model_dump()
    run["data"]["class_names"] = ['<a href="https://example.org">x</a>', *CLASSES[1:]]
    ticks = all_figures(Result.model_validate(run), {})["recall"]["layout"]["yaxis"]["ticktext"]
    assert "<" not in ticks[0]
    assert ticks[1] == "Trouser"


def test_the_index_of_sap_is_drawn_with_its_turn() -> None:
    run = sample().model_dump()
    values = [0.3, 0.2, 0.25]
    rounds = [{"pq_index": value, "units": 90 - 10 * i} for i, value in enumerate(values)]
    run["recovery"]["facts"] = {"rounds": rounds, "pq_index_turns_up_in_round": 3}
    drawn = all_figures(Result.model_validate(run), {})["pq_index"]
    assert drawn["data"][0]["y"] == values
    assert (drawn["layout"]["shapes"][0]["x0"], drawn["layout"]["shapes"][0]["x1"]) == (3, 3)
    assert 'id="plot-pq_index"' in render(Result.model_validate(run), {})
    run["recovery"]["facts"] = {"rounds": 8}  # of a federation
    assert "pq_index" not in all_figures(Result.model_validate(run), {})
    assert 'id="plot-pq_index"' not in render(sample(), {})


def test_the_static_report_is_headed_not_measured() -> None:
    page = Page(render(static_sample(), {}))
    assert page.text.index("Not measured: static report.") < page.text.index("Dense and pruned")
    assert "Latency, median not measured not measured" in page.text
    assert "tradeoff" not in figures_of(render(static_sample(), {}))


def test_candidates_of_an_emulated_phone_are_not_called_measured() -> None:
    picture = figures.rounds(emulated_sample())
    assert picture is not None
    words = str(picture)
    assert "Emulated" in words
    assert "easured" not in words


def test_an_emulated_phone_is_marked() -> None:
    page = Page(render(emulated_sample(), {}))
    assert page.text.index("Emulated.") < page.text.index("Dense and pruned")
    assert "Latency, median (emulated)" in page.text


def test_a_number_format_that_is_slower_is_told_in_words() -> None:
    page = Page(render(quantized_sample(1.2), measurements()))
    assert "int8 is slower than float32 on this target: 1.20 times its latency." in page.text
    assert "dense, latency 0.570 ms 0.684 ms 120.0 %" in page.text
    assert "calibrated on 256 training images at most" in page.text
    assert "same top-1 98.50 %" in page.text
    assert "int8" not in Page(render(sample(), measurements())).text


def test_a_task_of_the_users_own() -> None:
    page = Page(render(custom_task_sample(), {}))
    assert "mean iou" in page.text
    assert "Recall of every class" not in page.text


def test_a_run_with_nothing_to_draw_has_no_script() -> None:
    run = static_sample().model_dump() | {"widths": {}, "recovery": None}
    run["groups"] = {"pruned": [], "frozen": [], "clamped": []}
    for name in ("dense", "pruned"):
        run[name] |= {"per_class_recall": None, "confusion": None}
    source = render(Result.model_validate(run), {})
    assert Page(source).scripts == []
    assert len(source) < 50_000


def coloured(value: object, key: str = "") -> object:
    """As the page's script does it: colour names become colours."""
    if isinstance(value, list):
        return [coloured(part, key) for part in value]
    if isinstance(value, dict):
        return {k: coloured(part, k) for k, part in value.items()}
    return "#123456" if (key.endswith("color") or key == "colorscale") and str(value).startswith("--") else value


@pytest.mark.parametrize("name", list(all_figures(sample(), measurements())))
def test_every_picture_is_valid_for_plotly(name: str) -> None:
    figure = go.Figure(coloured(figures_of(render(sample(), measurements()))[name]))
    assert len(figure.data) >= 1
    assert "--" not in figure.to_json()


def test_the_pictures_hold_the_numbers() -> None:
    drawn = all_figures(sample(), measurements())
    assert [trace["x"] for trace in drawn["tradeoff"]["data"]][:2] == [[0.570], [0.279]]
    assert drawn["tradeoff"]["layout"]["shapes"][0]["x0"] == 0.285
    of_dense = [[100 * ms / 0.570 for ms in row] for row in ([0.270, 0.262, 0.271], [0.301, 0.288, 0.2795])]
    assert drawn["rounds"]["data"][0]["x"] == pytest.approx(of_dense[0])
    assert drawn["rounds"]["data"][0]["y"] == pytest.approx(of_dense[1])
    assert drawn["rounds"]["layout"]["shapes"][1]["y0"] == pytest.approx(50)
    assert drawn["widths"]["data"][1]["x"][:3] == [16, 8, 8]
    assert drawn["histogram"]["data"][0]["x"] == measurements()["dense"]["samples_ms"]
    assert drawn["recall"]["data"][1]["x"][0] == pytest.approx(87.2)


def test_a_few_runs_that_were_held_up_do_not_squeeze_the_histogram() -> None:
    calm, held = measurements(), measurements()
    held["pruned"]["samples_ms"][:3] = [9.0, 29.25, 12.0]
    drawn = all_figures(sample(), held)["histogram"]
    assert drawn["data"][1]["x"] == held["pruned"]["samples_ms"], "nothing is dropped"
    low, high = drawn["layout"]["xaxis"]["range"]
    every = held["dense"]["samples_ms"] + held["pruned"]["samples_ms"]
    beyond = sum(ms > high for ms in every)
    assert low < min(every)
    assert 1.1 < high < 1.3, "twice the 90th percentile of dense"
    assert beyond == 3
    assert drawn["layout"]["annotations"][0]["text"] == f"{beyond} of {len(every)} runs took longer, up to 29.2 ms"
    assert drawn["data"][0]["xbins"]["end"] > 29.25
    assert "annotations" not in all_figures(sample(), calm)["histogram"]["layout"], "nothing lies beyond"


@pytest.mark.parametrize(("p90", "side"), [(0.56, "right"), (2.0, "left")])
def test_the_budget_is_named_where_there_is_room(p90: float, side: str) -> None:
    """The budget is 0.285 ms."""
    result = sample()
    result.dense.latency_ms.p90 = p90
    assert all_figures(result, measurements())["tradeoff"]["layout"]["annotations"][0]["xanchor"] == side


def test_recalls_carry_wilson_intervals_and_the_matrix_their_counts() -> None:
    drawn = all_figures(sample(), measurements())
    n, p, z = 1000, 0.872, 1.959964  # T-shirt, pruned
    centre, half = (p + z * z / (2 * n)) / (1 + z * z / n), z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5
    low, high = centre - half / (1 + z * z / n), centre + half / (1 + z * z / n)
    whiskers = drawn["recall"]["data"][1]["error_x"]
    assert whiskers["arrayminus"][0] == pytest.approx(100 * (p - low), rel=1e-4)
    assert whiskers["array"][0] == pytest.approx(100 * (high - p), rel=1e-4)
    matrix = drawn["confusion"]["data"][0]
    assert matrix["z"][0][:3] == [0.872, 0.128, 0.0]
    assert matrix["customdata"][0][1] == [117, 128, 1000]  # dense, pruned, images of the class


def test_candidates_stand_on_the_edge_predicted_and_measured_apart() -> None:
    traces = {trace["name"]: trace for trace in all_figures(sample(), {})["tradeoff"]["data"]}
    assert traces["candidates, predicted"]["x"] == [0.270, 0.262, 0.271]
    assert traces["candidates, measured"]["x"] == [0.301, 0.288, 0.2795]
    assert "candidates, emulated" in {t["name"] for t in all_figures(emulated_sample(), {})["tradeoff"]["data"]}


def test_the_course_is_medians_in_the_order_of_time() -> None:
    samples = [1.0] * 100 + [2.0] * 100
    traces = all_figures(sample(), {"dense": {"samples_ms": samples}})["course"]["data"]
    assert [trace["name"] for trace in traces] == ["dense"]
    assert traces[0]["y"] == [1.0] * 25 + [2.0] * 25
    assert traces[0]["x"][:2] == [0, 4]


def test_of_many_classes_those_that_lost_most_are_drawn_and_all_are_listed() -> None:
    run = sample().model_dump()
    run["data"]["class_names"] = [f"class {i}" for i in range(200)]
    run["dense"]["per_class_recall"] = [0.9] * 200
    run["pruned"]["per_class_recall"] = [0.9] * 199 + [0.2]
    source = render(Result.model_validate(run), {})
    assert figures_of(source)["recall"]["layout"]["yaxis"]["ticktext"][0] == "class 199"  # type: ignore[index]
    assert len(figures_of(source)["recall"]["layout"]["yaxis"]["ticktext"]) == 40  # type: ignore[index]
    assert "class 7 90.00 % 90.00 %" in Page(source).text


def test_a_class_that_the_split_lacks_is_said_to_be_missing() -> None:
    run = sample().model_dump()
    run["dense"]["per_class_recall"] = run["pruned"]["per_class_recall"] = [None, *[0.5] * 9]
    assert "T-shirt not in the split not in the split" in Page(render(Result.model_validate(run), {})).text


def test_a_metric_that_is_no_number_leaves_a_gap_not_a_broken_page() -> None:
    run = custom_task_sample().model_dump()
    run["pruned"]["metrics"]["mean_iou"] = float("nan")
    run["recovery"] = {**sample().model_dump()["recovery"], "epochs": [{"mean_iou": float("nan")}, {"mean_iou": 0.7}]}
    source = render(Result.model_validate(run), measurements())
    drawn = figures_of(source)
    assert [t["name"] for t in drawn["tradeoff"]["data"] if "candidates" not in t["name"]] == ["dense"]  # type: ignore[attr-defined]
    assert drawn["recovery"]["data"][0]["y"] == [0.7]  # type: ignore[index]
    assert "NaN" not in json.dumps(drawn)


def test_the_file_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    write_report(sample(), tmp_path / "report.html")
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(EnvironmentProblem):
        write_report(sample(), tmp_path / "missing" / "report.html")
