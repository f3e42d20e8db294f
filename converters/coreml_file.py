"""Read a Core ML package (.mlpackage): layers, parameters, operations, inputs and outputs of its MIL program."""

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from converters.artifact import TensorSpec
from converters.contents import Contents, FileLayer, transposed_weight
from converters.mil_program import MilProgram

_LAYERS = {"conv": "conv2d", "conv_transpose": "conv_transpose2d", "linear": "linear"}


def read(path: Path) -> Contents:
    """Contents of the main function of `path`. Raises `InspectionError` if it is no Core ML package."""
    from coremltools.proto import FeatureTypes_pb2

    program = MilProgram(path)
    layers = []
    for op in program.operations:
        if op.type not in _LAYERS or (weight := program.constant(op, "weight")) is None:
            continue
        groups = program.constant(op, "groups")
        depthwise = op.type == "conv" and groups is not None and int(groups) > 1 and weight.shape[1] == 1
        if op.type == "conv_transpose":
            weight = transposed_weight(weight, groups=1 if groups is None else int(groups))
        name = "depthwise" if depthwise else _LAYERS[op.type]
        layers.append(FileLayer(name, weight, program.constant(op, "bias")))
    ops = Counter(op.type for op in program.operations)
    constants = [program.named(name) for name in program.stored]
    dtypes = FeatureTypes_pb2.ArrayFeatureType.ArrayDataType

    def spec(feature: Any) -> TensorSpec:
        if feature.type.WhichOneof("Type") == "imageType":
            image = feature.type.imageType
            return TensorSpec(feature.name, (image.height, image.width), "image")
        array = feature.type.multiArrayType
        return TensorSpec(feature.name, tuple(array.shape), dtypes.Name(array.dataType).lower())

    return Contents(
        layers=tuple(layers),
        params=sum(x.size for x in constants if isinstance(x, np.ndarray) and x.ndim and x.dtype.kind == "f"),
        ops=dict(ops),
        delegated=None,
        transposes=ops["transpose"],
        inputs=tuple(map(spec, program.description.input)),
        outputs=tuple(map(spec, program.description.output)),
    )
