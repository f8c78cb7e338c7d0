"""Leaves that every layer may use; none knows anything of experiments."""
