"""What a run has in a cluster: namespaces, workloads, probes, evidence."""
