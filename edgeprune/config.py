"""Everything a run can be told. One model serves the command line, edgeprune.yaml and Python keyword arguments."""

from pathlib import Path
from typing import Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from edgeprune.errors import UsageError
from edgeprune.quantity import Kind, Limit, parse_limit

Target = Literal["host", "android", "mac", "ios"]
Runtime = Literal["litert", "executorch", "coreml"]
ALL_FORMATS = ("litert", "executorch", "coreml")
MULTIPLES = (8, 4)
MAX_THREADS = 64
_LIMITS: tuple[Kind, ...] = ("latency", "memory", "file_size", "macs")


class Budget(BaseModel):
    """The limits that the network has to keep; at least one is set."""

    model_config = ConfigDict(frozen=True, arbitrary_types_allowed=True)

    limits: tuple[Limit, ...]

    def get(self, kind: Kind) -> Limit | None:
        """The limit of one kind, if there is one."""
        return next((limit for limit in self.limits if limit.kind == kind), None)

    def __str__(self) -> str:
        return ", ".join(f"{limit.kind.replace('_', ' ')} {limit.text}" for limit in self.limits)


class Config(BaseModel):
    """The resolved settings of one run; `config.yaml` of a run directory holds them and replays the run."""

    model_config = ConfigDict(extra="forbid")

    model: str | None = Field(None, description="model spec: torchvision:NAME, timm:NAME, file.py:f, x.pt2, x.onnx")
    weights: str | None = Field(None, description="trained weights: .safetensors or a state dict")
    data: str | None = Field(None, description="data spec: builtin:digits, folder:DIR, fashion-mnist:DIR, file.py:f")
    task: str | None = Field(None, description="file.py:Task, replaces classification")
    image_size: int | None = Field(None, ge=4, description="edge of the square input, pixels")
    mean: list[float] | None = Field(None, description="normalisation mean, one value or one a channel")
    std: list[float] | None = Field(None, description="normalisation standard deviation, one value or one a channel")
    long_tail: float | None = Field(None, ge=1, description="cut the training data to this imbalance ratio")

    target: Target = Field("host", description="where it has to be fast")
    latency: str | None = Field(None, description="latency budget: 20ms, 50fps or 50%")
    memory: str | None = Field(None, description="peak memory budget: 30MB or 50%")
    file_size: str | None = Field(None, description="file size budget: 4MB or 50%")
    macs: str | None = Field(None, description="budget of multiply-accumulates: 300M or 50%")

    max_drop: float | None = Field(
        None, ge=0, le=100, description="the inverse question: the fastest network that loses at most this many points"
    )
    pareto: int | None = Field(None, ge=2, le=20, description="runs at this many latencies, from dense to the floor")

    min_class_recall: float | None = Field(
        None, gt=0, le=1, description="no class may have a lower recall on val: 0.6 is 60 %"
    )
    max_class_drop: float | None = Field(
        None, ge=0, le=100, description="points of recall on val that a class may lose against the dense network"
    )

    recipe: str = Field("beta-rank", description="published method: see docs/recipes.md")
    score: str | None = Field(None, description="criterion that ranks channels, instead of the recipe's")
    allocate: str | None = Field(None, description="how widths are chosen, instead of the recipe's")
    schedule: str | None = Field(None, description="when channels are removed, instead of the recipe's")
    recover: str | None = Field(None, description="how accuracy is won back, instead of the recipe's")
    multiple: int | None = Field(
        None, ge=1, description="widths are multiples of this (default: 8, and 4 where 8 cannot meet the budget)"
    )
    keep: list[str] = Field(
        default_factory=list, description="layers that keep their channels: PATTERN, PATTERN=24 or PATTERN=50%"
    )
    min_channels: int = Field(1, ge=1, description="no channel group gets narrower than this")
    max_ratio: float = Field(1.0, ge=0, le=1, description="largest share of a group's channels that may be removed")
    runtime: Runtime = Field("litert", description="runtime whose latency the budget is about")
    threads: int = Field(1, ge=1, le=MAX_THREADS, description="threads of the runtime")
    serial: list[str] = Field(default_factory=list, description="phones that it has to be fast on (default: the only)")
    farm: str | None = Field(None, description="HOST:PORT of a Ray cluster whose phones measure, instead of a cable")
    phone_model: list[str] = Field(default_factory=list, description="phones of the farm that it has to be fast on")
    runner: Literal["native", "app"] = Field("native", description="who runs the files on a phone")
    cores: str | None = Field(None, description="a phone's cores: big, little or a hexadecimal mask")
    formats: list[str] | None = Field(None, description="files to write (default: all three; for mac and ios coreml)")
    quantize: Literal["none", "fp16", "int8"] = Field(
        "none", description="number format of the pruned files; the search then times candidates in it"
    )

    epochs: int | None = Field(
        None, ge=0, description="epochs of fine-tuning (or of training from scratch), instead of the recipe's"
    )
    control: Literal["scratch"] | None = Field(
        None, description="also train the same widths from random weights, for as many epochs and as much compute"
    )
    dense_epochs: int | None = Field(
        None, ge=1, description="epochs of the dense network's own training, for the controls (default: the recipe's)"
    )
    calibration: str | None = Field(None, description="data that a closed-form repair sees instead of training images")
    batch_size: int | None = Field(
        None, ge=2, description="images a training step (default: 128, fewer where train has under 5120 images)"
    )
    lr: float | None = Field(None, gt=0, description="peak learning rate, instead of the recipe's")
    log: Literal["tensorboard"] | None = Field(
        None, description="curves of search and training, in the run's folder, for `tensorboard --logdir runs`"
    )
    seed: int = Field(0, ge=0, description="seed of all randomness")
    accelerator: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="where training runs")
    devices: int | None = Field(
        None, ge=1, le=1024, description="processes that train together on a machine, a GPU each where there are any"
    )
    nodes: int | None = Field(None, ge=1, le=1024, description="machines that train together (torchrun)")
    precision: Literal["auto", "32", "bf16", "16"] = Field(
        "32", description="arithmetic of training; auto: the fastest that the GPU has"
    )

    @field_validator("mean", "std", mode="before")
    @classmethod
    def _one_or_more(cls, value: Any) -> Any:
        if isinstance(value, str):
            return [float(part) for part in value.split(",")]
        return [value] if isinstance(value, int | float) else value

    @field_validator("std")
    @classmethod
    def _positive(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and min(value) <= 0:
            raise ValueError("must be positive")
        return value

    @field_validator("formats", mode="before")
    @classmethod
    def _known_formats(cls, value: Any) -> Any:
        if value is None:
            return None
        names = value.split(",") if isinstance(value, str) else list(value)
        names = list(dict.fromkeys(name.strip() for name in names if name.strip()))
        unknown = sorted(set(names) - set(ALL_FORMATS))
        if unknown or not names:
            raise ValueError(f"unknown format {', '.join(unknown) or '(none)'}: choose from {', '.join(ALL_FORMATS)}")
        return names

    @field_validator("precision", mode="before")
    @classmethod
    def _as_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) else value

    @field_validator("keep", "serial", "phone_model", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _core_ml_on_a_mac(cls, values: Any) -> Any:
        on_mac = isinstance(values, dict) and values.get("target") == "mac"
        return {"runtime": "coreml", **values} if on_mac else values

    @model_validator(mode="after")
    def _measurable(self) -> Self:
        if (self.runtime == "coreml") != (self.target == "mac"):
            raise ValueError(f"runtime {self.runtime} is not what target {self.target} runs: leave runtime out")
        if self.target == "mac" and self.threads != 1:
            raise ValueError(f"threads {self.threads} means nothing with target mac: Core ML chooses them")
        if self.farm is not None and self.target != "android":
            raise ValueError(f"farm is of phones: it goes with target android, not {self.target}")
        if self.farm is not None and self.serial:
            raise ValueError("serial names a phone on a cable: with farm give phone_model, or leave both out")
        if self.farm is None and self.phone_model:
            raise ValueError("phone_model names phones of a farm: give farm, too")
        return self

    def recorded(self) -> dict[str, Any]:
        """The settings as files keep them: serial numbers only hashed."""
        from profilers.android.serials import hidden

        return {**self.model_dump(), "serial": [hidden(serial) for serial in self.serial]}

    def multiples(self) -> tuple[int, ...]:
        """Steps of the widths, in the order in which they are tried."""
        return MULTIPLES if self.multiple is None else (self.multiple,)

    def axes(self) -> dict[str, str | None]:
        """The recipe's axes that are exchanged: see `load_recipe`."""
        return {"score": self.score, "allocate": self.allocate, "schedule": self.schedule, "recover": self.recover}

    def chosen_formats(self) -> tuple[str, ...]:
        """The formats to write, in the order they were given."""
        default = ("coreml",) if self.target in ("mac", "ios") else ALL_FORMATS
        return tuple(self.formats) if self.formats else default

    def budget(self) -> Budget:
        """The limits, parsed. Raises UsageError for text that cannot be read."""
        texts = {kind: getattr(self, kind) for kind in _LIMITS}
        return Budget(limits=tuple(parse_limit(kind, text) for kind, text in texts.items() if text is not None))


def make_config(settings: dict[str, Any], config_file: Path | None = None) -> Config:
    """Settings typed or passed (None means not given) over those of a YAML file over the defaults.

    Raises UsageError naming the key, what was found and what is allowed.
    """
    config = make_settings(settings, config_file)
    config.budget()
    return config


def each_budget(config: Config) -> list[Config]:
    """The settings once for each latency budget: several, parted by commas, make a front.

    Where the budgets are found on the way (`max_drop`, `pareto`) they are those of one run, at half the dense latency.
    Raises UsageError for two questions at once.
    """
    questions = [name for name in ("latency", "max_drop", "pareto") if getattr(config, name) is not None]
    if len(questions) > 1:
        typed = " and ".join(f"--{name.replace('_', '-')}" for name in questions)
        raise UsageError(f"{typed} are two questions.", "Ask one at a time.")
    if questions and questions != ["latency"]:
        return [config.model_copy(update={"latency": "50%", "max_drop": None, "pareto": None})]
    texts = [text.strip() for text in (config.latency or "").split(",") if text.strip()]
    return [config.model_copy(update={"latency": text}) for text in texts] or [config]


def make_settings(settings: dict[str, Any], config_file: Path | None = None) -> Config:
    """As `make_config`, for commands that need no budget."""
    merged = read_config_file(config_file) if config_file is not None else {}
    merged.update({key: value for key, value in settings.items() if value is not None})
    try:
        return Config(**merged)
    except ValidationError as error:
        raise UsageError(_explain(error, config_file), "See `edgeprune optimize --help`.") from error


def read_config_file(path: Path) -> dict[str, Any]:
    """The keys of an edgeprune.yaml. Raises UsageError when it cannot be read."""
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}.", "Write one with `edgeprune init`.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not YAML: {error}", "Compare it with what `edgeprune init` writes.") from error
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise UsageError(f"{path} holds {type(loaded).__name__}, not keys with values.", "See `edgeprune init`.")
    return {str(key).replace("-", "_"): value for key, value in loaded.items() if value is not None}


def choices(setting: str) -> list[str]:
    """The words that a setting may be; none for one that takes others."""
    kinds = [Config.model_fields[setting].annotation]
    found: list[str] = []
    for kind in kinds:
        below = get_args(kind)
        found += [value for value in below if isinstance(value, str)]
        kinds += [value for value in below if not isinstance(value, str)]
    return found


def _explain(error: ValidationError, config_file: Path | None) -> str:
    from difflib import get_close_matches

    lines = []
    for problem in error.errors():
        key = str(problem["loc"][0]) if problem["loc"] else "settings"
        if problem["type"] == "extra_forbidden":
            near = get_close_matches(key, list(Config.model_fields), 1)
            lines.append(f"{key}: no such setting" + (f"; did you mean {near[0]}?" if near else ""))
        else:
            allowed = choices(key) if problem["type"] == "literal_error" else []
            near = get_close_matches(str(problem["input"]), allowed, 1)
            meant = f"; did you mean {near[0]}?" if near else ""
            lines.append(f"{key}: {problem['msg'].removeprefix('Value error, ')} (found {problem['input']!r}){meant}")
    where = f" (typed, or in {config_file})" if config_file else ""
    return f"Wrong settings{where}: " + "; ".join(lines)
