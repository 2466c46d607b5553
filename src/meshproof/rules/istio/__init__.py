"""Reads the routing objects of networking.istio.io into the model."""
