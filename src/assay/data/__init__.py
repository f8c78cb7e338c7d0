"""Datasets, transforms and loaders: what the model is fed, a function of (seed, stream, epoch, index)."""
