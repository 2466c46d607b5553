"""meshproof proves that a service mesh routes as its rules say."""
