"""Live rules tried in namespaces of the run."""
