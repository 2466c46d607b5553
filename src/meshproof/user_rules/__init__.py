"""A user's own rules: loaded, their cases sent, what answers compared."""
