"""The loader that does for almost everything."""

from __future__ import annotations

from assay.data.loaders.base import BaseLoader

__all__ = ["BatchLoader"]


class BatchLoader(BaseLoader):
    """Every sample once an epoch, in batches of `batch_size`; training data in a new order each epoch."""
