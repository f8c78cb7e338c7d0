"""TensorBoard: an event file in the run folder."""
