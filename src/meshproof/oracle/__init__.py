"""The oracle: what must answer each request, derived from the rules alone."""
