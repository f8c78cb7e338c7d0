"""One run from configuration to result, and what can be done with it afterwards."""
