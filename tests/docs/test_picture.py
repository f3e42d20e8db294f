"""The picture of the README is drawn from the benchmark's table, and shows what stands there."""

import xml.etree.ElementTree as xml

from benchmarks import picture

PAGE = """## Fashion-MNIST, ResNet-20

ResNet-20, 3 seeds. Dense: 92.83 (92.74 to 92.97) %. Ratios.

| budget | method | test accuracy, %, mean (range) | measured latency, % of dense | met |
| --- | --- | --- | --- | --- |
| 50% | EdgePrune (beta-rank) | 92.49 (92.46 to 92.55) | 48.8 (48.4 to 49.4) | 3 of 3 |
| 33% | Torch-Pruning | 91.99 (91.75 to 92.24) | 32.1 (29.9 to 34.2) | 2 of 3 |

Machine: AMD EPYC, Linux.

## Another
"""


def test_it_is_up_to_date() -> None:
    written = picture.PICTURE.read_text(encoding="utf-8")
    assert written == picture.render(), "run: python -m benchmarks.picture"


def test_the_table_is_read() -> None:
    dense, points, machine = picture.read(PAGE)
    assert dense == (92.83, 92.74, 92.97)
    assert [(p.budget, p.ours, p.accuracy[0], p.latency[0], p.met) for p in points] == [
        ("50%", True, 92.49, 48.8, "3 of 3"), ("33%", False, 91.99, 32.1, "2 of 3")
    ]  # fmt: skip
    assert machine == "AMD EPYC, Linux"


def test_every_row_is_a_mark_at_its_place_and_inside_the_axes() -> None:
    _, points, _ = picture.read((picture.DOCS / "benchmarks.md").read_text(encoding="utf-8"))
    drawn = xml.fromstring(picture.render())
    circles = [c for c in drawn.findall(".//{*}circle") if c.get("class") == "ours"][: sum(p.ours for p in points)]
    left, right, top, bottom = picture.LEFT, picture.WIDTH - picture.RIGHT, picture.TOP, picture.HEIGHT - picture.BOTTOM
    shares = [(float(str(c.get("cx"))) - left) / (right - left) for c in circles]
    low, high = picture.X_RANGE
    assert [round(low + share * (high - low), 1) for share in shares] == [p.latency[0] for p in points if p.ours]
    for line in drawn.findall(".//{*}line"):
        assert all(left <= float(str(line.get(x))) <= right for x in ("x1", "x2"))
        assert all(top <= float(str(line.get(y))) <= bottom for y in ("y1", "y2"))
    said = " ".join(text.text or "" for text in drawn.findall(".//{*}text"))
    for point in points:
        if not point.met.startswith("3 of"):
            assert f"met {point.met}" in said, "a budget that was missed is not hidden"
