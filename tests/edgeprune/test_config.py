import inspect

import pytest

from edgeprune.config import Config, make_config
from edgeprune.errors import UsageError


def test_typed_settings_win_over_the_file_and_the_file_over_defaults(tmp_path):
    file = tmp_path / "edgeprune.yaml"
    file.write_text("epochs: 3\nthreads: 2\nbatch-size: 64\n")
    config = make_config({"threads": 4, "latency": None}, file)
    assert (config.epochs, config.threads, config.batch_size, config.seed) == (3, 4, 64, 0)


def test_unknown_key_is_named_with_the_nearest_one(tmp_path):
    file = tmp_path / "edgeprune.yaml"
    file.write_text("latancy: 20ms\n")
    with pytest.raises(UsageError, match="latancy: no such setting; did you mean latency"):
        make_config({}, file)


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [1\n", "\xff\xfe"])
def test_file_that_is_no_mapping_is_a_usage_error(tmp_path, text):
    file = tmp_path / "edgeprune.yaml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(UsageError):
        make_config({}, file)


@pytest.mark.parametrize(
    "settings",
    [
        {"formats": "tflite"},
        {"formats": ","},
        {"target": "fridge"},
        {"epochs": "-1"},
        {"std": "0"},
        {"latency": "quick"},
    ],
)
def test_values_out_of_range_are_usage_errors(settings):
    with pytest.raises(UsageError):
        make_config(settings)


def test_mean_takes_one_value_or_three():
    assert make_config({"mean": "0.45"}).mean == [0.45]
    assert make_config({"mean": "0.485,0.456,0.406"}).mean == [0.485, 0.456, 0.406]


def test_command_line_and_config_have_the_same_names():
    from edgeprune.cli.optimize import _NOT_SETTINGS, optimize

    flags = set(inspect.signature(optimize).parameters) - _NOT_SETTINGS
    assert flags == set(Config.model_fields)


def test_ios_writes_core_ml_only_unless_told_otherwise():
    assert make_config({"target": "ios"}).chosen_formats() == ("coreml",)
    assert make_config({"target": "ios", "formats": "litert,coreml"}).chosen_formats() == ("litert", "coreml")
