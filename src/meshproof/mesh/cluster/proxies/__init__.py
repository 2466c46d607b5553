"""The proxies of a cluster, and what each of them serves."""
