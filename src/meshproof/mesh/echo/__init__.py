"""A local mesh of echo workloads, to prove rules without their apps."""
