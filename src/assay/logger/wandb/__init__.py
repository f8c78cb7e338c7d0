"""Weights & Biases: a run in files in the run folder, or on its server."""
