"""The Istio of a cluster: finds, checks and installs it."""
