"""Processes, ports, logs and limits of this machine."""
