"""The Kubernetes API: objects, port-forwards, images."""
