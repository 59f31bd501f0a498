"""Ray: runs as tasks of a process beside `lab run`, which a cluster carries out."""
