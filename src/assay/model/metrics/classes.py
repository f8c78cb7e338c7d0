"""Class indices from what models and datasets give."""

from __future__ import annotations

from torch import Tensor

from assay.errors import ConfigError, DataError, Problem

__all__ = ["predicted_classes", "require_classes", "target_classes"]


def predicted_classes(output: Tensor) -> Tensor:
    """The class with the highest score: (B, K, …) -> (B, …).

    Raises:
        DataError: there is no score per class.
    """
    _require_scores(output)
    return output.argmax(dim=1)


def target_classes(target: Tensor, output: Tensor) -> Tensor:
    """Indices (B, …) from indices, or from one-hot or soft targets (B, K, …): the largest share counts.

    Raises:
        DataError: there is no score per class, or the shapes do not belong together.
    """
    _require_scores(output)
    if target.shape == output.shape:
        return target.argmax(dim=1)
    if target.shape != (output.shape[0], *output.shape[2:]):
        raise DataError(
            "the targets do not fit the model's output",
            found=f"targets of shape {tuple(target.shape)}, output of shape {tuple(output.shape)}",
            expected="class indices (B, …) or shares (B, K, …) for scores (B, K, …)",
        )
    return target.long()


def require_classes(output: Tensor, classes: int) -> None:
    """Said by the shape alone, so nothing waits for the device.

    Raises:
        ConfigError: the model does not give one score for each of the dataset's classes.
    """
    _require_scores(output)
    if output.shape[1] != classes:
        raise ConfigError.of(
            Problem(
                f"the model gives {output.shape[1]} scores and there are {classes} classes",
                key="model",
                found=f"an output of shape {tuple(output.shape)}",
                expected=f"(B, {classes}, …)",
                hint="give the model its number of classes in model.args, by whatever name its signature has",
            )
        )


def _require_scores(output: Tensor) -> None:
    if output.ndim < 2 or output.shape[1] < 2:
        raise DataError(
            "this metric needs one score per class",
            found=f"an output of shape {tuple(output.shape)}",
            expected="(B, K, …) with K of at least 2",
            hint="for one logit per sample use torchmetrics.classification:BinaryAccuracy and its kin",
        )
