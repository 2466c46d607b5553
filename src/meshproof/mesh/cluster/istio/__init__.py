"""The Istio of a cluster: found, checked, installed."""
