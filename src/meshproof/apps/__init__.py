"""Stand-ins for the demo apps: standard library only, one process per workload."""
