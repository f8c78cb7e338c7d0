"""Models, and what judges them: architectures made of blocks, losses, metrics."""
