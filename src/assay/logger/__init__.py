"""Where measurements are sent. The courier, a process of its own, feeds every logger from the journal."""

from __future__ import annotations

from assay.config.components import Kind

__all__ = ["LOGGERS"]

LOGGERS = Kind(
    "logger",
    base=("assay.logger.base:BaseLogger",),
    table={
        "ConsoleLogger": "assay.logger.console:ConsoleLogger",
        "CSVLogger": "assay.logger.table.csv:CSVLogger",
        "ElasticLogger": "assay.logger.elastic.logger:ElasticLogger",
        "MLflowLogger": "assay.logger.mlflow.logger:MLflowLogger",
        "ParquetLogger": "assay.logger.table.parquet:ParquetLogger",
        "SacredLogger": "assay.logger.sacred.logger:SacredLogger",
        "TensorBoardLogger": "assay.logger.tensorboard.logger:TensorBoardLogger",
        "WandbLogger": "assay.logger.wandb.logger:WandbLogger",
    },
)
