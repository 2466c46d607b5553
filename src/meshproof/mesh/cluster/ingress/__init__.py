"""The ingress of a cluster's mesh."""
