"""Measurements as tables in the run folder: CSV and Parquet."""
