"""Addons."""
NAMES = ("prometheus", "grafana", "service-graph", "zipkin", "jaeger")
