"""Compares a document with the shape of its kind."""
