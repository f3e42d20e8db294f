"""Classification metrics that hold on imbalanced data: never micro-F1, which is accuracy under another name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, f1_score

from edgeprune.errors import UsageError

CONFUSION_CLASSES = 100


def classification_metrics(
    expected: npt.NDArray[np.integer[Any]], predicted: npt.NDArray[np.integer[Any]], class_names: Sequence[str]
) -> dict[str, Any]:
    """Metrics of predicted against expected class indices, both (N,).

    Returns accuracy, balanced_accuracy (mean recall), macro_f1 as fractions in [0, 1], per_class_recall (one a class,
    None where the split has no image of it), confusion (images by true class and answer; None above 100 classes),
    absent_classes (names of those) and n. Means run over the classes that occur. Raises UsageError if a label lies
    outside the classes or is not an integer.
    """
    if expected.ndim != 1 or not np.issubdtype(expected.dtype, np.integer):
        raise UsageError(
            f"targets are {expected.dtype} of shape {expected.shape}, not one class index each",
            "give --task for another task than single-label classification",
        )
    bad = expected[(expected < 0) | (expected >= len(class_names))]
    if bad.size:
        raise UsageError(
            f"label {int(bad[0])} is out of range: there are {len(class_names)} classes, 0 to {len(class_names) - 1}"
        )
    matrix = confusion_matrix(expected, predicted, labels=range(len(class_names)))
    support = matrix.sum(axis=1)
    present = np.flatnonzero(support)
    recall = matrix.diagonal()[present] / support[present]
    recall_of = dict(zip(present.tolist(), recall.tolist(), strict=True))
    return {
        "accuracy": float(matrix.trace() / support.sum()),
        "balanced_accuracy": float(recall.mean()),
        "macro_f1": float(f1_score(expected, predicted, labels=present, average="macro", zero_division=0.0)),
        "per_class_recall": [recall_of.get(index) for index in range(len(class_names))],
        "confusion": matrix.tolist() if len(class_names) <= CONFUSION_CLASSES else None,
        "absent_classes": [class_names[index] for index in np.flatnonzero(support == 0).tolist()],
        "n": int(support.sum()),
    }
