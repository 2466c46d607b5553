"""Kubernetes files of the apps, and the rules of every promise in each dialect."""
