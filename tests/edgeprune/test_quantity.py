import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.errors import UsageError
from edgeprune.quantity import parse_limit


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("latency", "20ms", 20.0),
        ("latency", "0.02s", 20.0),
        ("latency", "50fps", 20.0),
        ("latency", "300 us", 0.3),
        ("memory", "30MB", 30e6),
        ("memory", "30MiB", 30 * 2**20),
        ("file_size", "512KiB", 512 * 1024),
        ("macs", "300M", 300e6),
        ("macs", "1.2G", 1.2e9),
    ],
)
def test_absolute_limits_in_base_units(kind, text, value):
    limit = parse_limit(kind, text)
    assert limit.value == pytest.approx(value)
    assert not limit.relative
    assert limit.absolute(dense=1e12) == limit.value


def test_a_latency_limit_may_be_about_the_90th_percentile():
    limit = parse_limit("latency", "p90:20ms")
    assert (limit.value, limit.statistic, limit.relative, limit.text) == (20.0, "p90", False, "p90:20ms")
    assert parse_limit("latency", "20ms").statistic == "median"
    for wrong in ("p90:50%", "p99:20ms", "p90:"):
        with pytest.raises(UsageError):
            parse_limit("latency", wrong)
    with pytest.raises(UsageError):
        parse_limit("memory", "p90:30MB")


def test_relative_limit_is_a_share_of_the_dense_network():
    limit = parse_limit("latency", "50%")
    assert limit.relative
    assert limit.absolute(dense=8.0) == 4.0


@pytest.mark.parametrize(
    "text", ["", "fast", "20", "-5ms", "0ms", "20 miles", "120%", "ms", "1e999ms", "20ms;rm", "nan"]
)
def test_latency_that_cannot_be_read_is_a_usage_error_with_an_example(text):
    with pytest.raises(UsageError) as caught:
        parse_limit("latency", text)
    assert "--latency" in caught.value.message
    assert "50%" in caught.value.cure or "100%" in caught.value.cure


@given(st.floats(0.001, 1e5), st.sampled_from(["ms", "s", "us"]))
def test_any_positive_time_is_read(number, unit):
    factor = {"ms": 1.0, "s": 1e3, "us": 1e-3}[unit]
    assert parse_limit("latency", f"{number!r}{unit}").value == pytest.approx(number * factor)
