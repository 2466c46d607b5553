"""meshproof proves that a service mesh routes as its rules say.

PYTEST_DONT_REWRITE: the command imports this package before pytest starts. Without this mark pytest
would warn that it cannot rewrite its assertions, and stop where warnings are errors.
"""

__version__ = "0.1.0"
