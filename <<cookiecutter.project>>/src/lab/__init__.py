"""From a question in designs/ to its answer: the machinery, which knows a project by its contract, lab.yaml, alone."""
