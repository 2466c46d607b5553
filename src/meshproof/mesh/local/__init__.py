"""The local mesh: apps as processes on loopback, each with its Envoy."""
