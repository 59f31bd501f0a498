"""A plan carried out: queued as DVC experiments, run by DVC's workers, verified by what exists in git."""
