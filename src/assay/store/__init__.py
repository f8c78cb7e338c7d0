"""One run on disk: its folder, journal, records and lock, and the index of all runs. Nothing here imports torch."""
