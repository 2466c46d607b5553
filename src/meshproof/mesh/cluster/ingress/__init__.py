"""The way into a cluster's mesh."""
