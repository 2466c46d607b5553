"""The checks, one module for each code."""
