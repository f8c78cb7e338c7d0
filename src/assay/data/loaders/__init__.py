"""Loaders by name: assay's own, and subclasses of BaseLoader of one's own."""

from __future__ import annotations

from assay.config.components import Kind

__all__ = ["LOADERS"]

LOADERS = Kind(
    "loader",
    base=("assay.data.loaders.base:BaseLoader",),
    table={"BatchLoader": "assay.data.loaders.batch:BatchLoader"},
    runtime=frozenset({"samples", "shuffle", "seed", "stream"}),
    reserved=frozenset({"samples", "seed", "stream"}),
)
