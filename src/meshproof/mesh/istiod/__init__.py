"""A real istiod on this machine, with Envoys and apps as processes on loopback, and no cluster."""
