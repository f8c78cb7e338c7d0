"""Where measurements are sent. The courier, a process of its own, feeds every logger from the journal."""

from __future__ import annotations

from assay.config.components import Kind

__all__ = ["LOGGERS"]

LOGGERS = Kind(
    "logger",
    base=("assay.logger.base:BaseLogger",),
    table={
        "ConsoleLogger": "assay.logger.console:ConsoleLogger",
        "CSVLogger": "assay.logger.table:CSVLogger",
        "ElasticLogger": "assay.logger.elastic:ElasticLogger",
        "MLflowLogger": "assay.logger.mlflow:MLflowLogger",
        "ParquetLogger": "assay.logger.parquet:ParquetLogger",
        "SacredLogger": "assay.logger.sacred:SacredLogger",
        "TensorBoardLogger": "assay.logger.tensorboard:TensorBoardLogger",
        "WandbLogger": "assay.logger.wandb:WandbLogger",
    },
)
