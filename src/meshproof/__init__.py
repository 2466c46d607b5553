"""meshproof proves that a service mesh routes as its rules say."""

__version__ = "0.1.0"
