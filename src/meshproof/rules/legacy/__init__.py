"""Reads the rules of Istio before 1.0 (config.istio.io/v1alpha2) and Istio's Ingresses."""
