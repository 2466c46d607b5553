"""meshproof proves that a service mesh routes as its rules say.

PYTEST_DONT_REWRITE: the command imports this package before pytest begins, which would otherwise
warn that its assertions cannot be rewritten (it has none), and end where warnings are errors.
"""

__version__ = "0.1.0"
