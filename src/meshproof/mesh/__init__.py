"""Meshes: one protocol, several ways to serve the rules."""
