"""Building blocks of the architectures; import each from its own file."""
