"""A local mesh of echo workloads, for rules without their apps."""
