"""YAML files and live objects as values that know their file and line; the shape of each kind."""
