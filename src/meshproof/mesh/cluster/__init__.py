"""The cluster mesh: real Istio in Kubernetes."""
