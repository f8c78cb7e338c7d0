"""What the machine and the run use, measured beside the training."""
