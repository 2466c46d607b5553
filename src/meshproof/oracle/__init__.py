"""The oracle: the expected answer to each request, derived from the rules alone."""
