"""Checks a document against the shape of its kind."""
