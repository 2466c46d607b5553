"""Envoys as processes, and the rules as their config."""
