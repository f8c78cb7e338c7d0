"""What metrics are recorded as, known without torch: a monitored name is checked before anything is built."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["configured_name", "snake_case", "with_average", "with_k"]

# Matrices and curves, which are no numbers that could be followed.
_NO_NUMBER = re.compile(r"\w*ConfusionMatrix|\w*PrecisionRecallCurve|(Binary|Multiclass|Multilabel)?ROC")


def snake_case(name: str) -> str:
    """
    >>> snake_case("TopKAccuracy"), snake_case("F1"), snake_case("MulticlassF1Score"), snake_case("AUROC")
    ('top_k_accuracy', 'f1', 'multiclass_f1_score', 'auroc')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def with_k(k: int) -> str:
    return f"top{k}_accuracy"


def with_average(name: str, average: str) -> str:
    return name if average == "macro" else f"{name}_{average}"


def configured_name(name: str, args: Mapping[str, Any]) -> str:
    """What a metric of the tables is recorded as, by its name in the configuration; empty where it gives no number.

    >>> configured_name("TopKAccuracy", {"k": 3}), configured_name("torchmetrics:F1Score", {})
    ('top3_accuracy', 'f1_score')
    """
    last = name.replace(":", ".").rpartition(".")[2]
    if _NO_NUMBER.fullmatch(last):
        return ""
    given = args.get("name")
    if isinstance(given, str) and given:
        return given
    if name == "TopKAccuracy":
        k = args.get("k", 5)
        return with_k(k) if isinstance(k, int) else with_k(5)
    if name in ("F1", "Precision", "Recall"):
        return with_average(snake_case(name), str(args.get("average", "macro")))
    return snake_case(last)
