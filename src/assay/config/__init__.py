"""The configuration: read with places, typed, checked against what it names. Nothing here imports torch."""
