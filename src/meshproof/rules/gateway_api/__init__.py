"""Reads Gateways, HTTPRoutes and GRPCRoutes of Gateway API into the model."""
