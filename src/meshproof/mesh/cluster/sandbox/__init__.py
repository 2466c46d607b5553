"""Tries live rules in namespaces of the run."""
