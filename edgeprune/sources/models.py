"""Where models come from: `builtin:`, `torchvision:`, `timm:`, the user's own code, or a file (`.pt2`, `.onnx`)."""

import inspect
from difflib import get_close_matches
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from torch import nn

from edgeprune.errors import EnvironmentProblem, UsageError
from edgeprune.sources.cifar_resnet import CifarResNet
from edgeprune.sources.exported import load_exported
from edgeprune.sources.onnx_file import load_onnx
from edgeprune.sources.user_code import call_with, is_user_code, load_object
from edgeprune.sources.weights import apply_weights, check_finite, read_weights

BUILTIN = {f"resnet{depth}": depth for depth in (8, 14, 20, 32, 44, 56, 110)}
FORMS = "builtin:resnet20, torchvision:NAME, timm:NAME, file.py:function, package.module:function, x.pt2 or x.onnx"


def load_model(
    spec: str | nn.Module,
    weights: str | Path | None = None,
    num_classes: int | None = None,
    in_channels: int | None = None,
) -> nn.Module:
    """The model of a spec, with trained weights if given. Nothing is downloaded.

    A module given as `spec` is used as it is. `num_classes` reaches the constructor; `in_channels` other than the
    constructor's own replaces a torchvision model's first convolution. Raises UsageError (unknown model with the
    nearest names, weights that do not fit, NaN in weights), EnvironmentProblem (timm is not installed).
    """
    model = spec if isinstance(spec, nn.Module) else _build(spec, num_classes, in_channels)
    if weights is not None:
        load_weights(model, weights)
    check_finite(model.state_dict())
    return model


def load_weights(model: nn.Module, path: str | Path) -> nn.Module:
    """The model with the weights of a .safetensors, .pt or .pth file loaded into it. Raises UsageError."""
    apply_weights(model, read_weights(Path(path)), str(path))
    return model


def _build(spec: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    if spec.endswith(".pt2"):
        return load_exported(Path(spec))
    if spec.endswith(".onnx"):
        return load_onnx(Path(spec))
    kind, colon, name = spec.partition(":")
    if colon and kind in _BUILDERS:
        return _BUILDERS[kind](name, num_classes, in_channels)
    meant = get_close_matches(kind, list(_BUILDERS), n=1, cutoff=0.8)
    if colon and meant and kind.isidentifier() and find_spec(kind) is None:
        raise UsageError(f"unknown model {spec!r}", f"did you mean {meant[0]}:{name}?")
    if is_user_code(spec):
        model = call_with(load_object(spec), spec, num_classes=num_classes, in_channels=in_channels)
        if not isinstance(model, nn.Module):
            raise UsageError(f"{spec} returned a {type(model).__name__}, not a torch.nn.Module")
        return model
    known = [f"builtin:{key}" for key in BUILTIN] + [f"torchvision:{key}" for key in _torchvision_names()]
    close = get_close_matches(spec, known, n=3, cutoff=0.4) or _nearest_names(spec, known)
    raise UsageError(f"unknown model {spec!r}", f"use {FORMS}; nearest: {', '.join(close) or 'none'}")


def _nearest_names(name: str, known: list[str]) -> list[str]:
    short = {key.split(":")[-1]: key for key in known}
    return [short[key] for key in get_close_matches(name.split(":")[-1], list(short), n=3, cutoff=0.4)]


def _unknown(kind: str, name: str, known: list[str]) -> UsageError:
    close = get_close_matches(name, known, n=3, cutoff=0.4) or known[:5]
    return UsageError(f"unknown model {kind}:{name}", f"nearest: {', '.join(f'{kind}:{key}' for key in close)}")


def _builtin(name: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    if name not in BUILTIN:
        raise _unknown("builtin", name, list(BUILTIN))
    return CifarResNet(BUILTIN[name], num_classes or 10, in_channels or 1)


def _torchvision_names() -> list[str]:
    import torchvision

    return list(torchvision.models.list_models())


def _torchvision(name: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    import torchvision

    if name not in _torchvision_names():
        raise _unknown("torchvision", name, _torchvision_names())
    builder = torchvision.models.get_model_builder(name)
    settings: dict[str, Any] = {"weights": None}
    if "weights_backbone" in inspect.signature(builder).parameters:
        settings["weights_backbone"] = None
    if num_classes is not None:
        settings["num_classes"] = num_classes
    if name in ("googlenet", "inception_v3"):
        settings["init_weights"] = True
    model: nn.Module = builder(**settings)
    if in_channels not in (None, 3):
        _replace_stem(model, in_channels)
    return model


def _replace_stem(model: nn.Module, in_channels: int) -> None:
    for path, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            stem = nn.Conv2d(
                in_channels,
                module.out_channels,
                (module.kernel_size[0], module.kernel_size[1]),
                (module.stride[0], module.stride[1]),
                module.padding if isinstance(module.padding, str) else (module.padding[0], module.padding[1]),
                bias=module.bias is not None,
            )
            model.set_submodule(path, stem)
            return
    raise UsageError(f"{type(model).__name__} has no convolution to take {in_channels} input channels")


def _timm(name: str, num_classes: int | None, in_channels: int | None) -> nn.Module:
    try:
        import timm
    except ModuleNotFoundError as error:
        raise EnvironmentProblem(f"timm:{name} needs timm, which is not installed", "pip install timm") from error
    names = list(timm.list_models())
    if name not in names:
        raise _unknown("timm", name, names)
    settings: dict[str, Any] = {"num_classes": num_classes, "in_chans": in_channels}
    model: nn.Module = timm.create_model(
        name, pretrained=False, **{key: value for key, value in settings.items() if value is not None}
    )
    return model


_BUILDERS = {"builtin": _builtin, "torchvision": _torchvision, "timm": _timm}
