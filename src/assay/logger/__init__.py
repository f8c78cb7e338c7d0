"""Where measurements are sent. The courier, a process of its own, feeds every logger from the journal."""

from __future__ import annotations

from assay.config.components import Kind

__all__ = ["LOGGERS"]

LOGGERS = Kind(
    "logger",
    base=("assay.logger.base:BaseLogger",),
    table={
        "MLflowLogger": "assay.logger.mlflow:MLflowLogger",
        "SacredLogger": "assay.logger.sacred:SacredLogger",
        "TensorBoardLogger": "assay.logger.tensorboard:TensorBoardLogger",
        "ElasticLogger": "assay.logger.elastic:ElasticLogger",
    },
)
