"""From a question to the exact runs that answer it: a design (YAML or Python) expanded into a plan. Starts nothing."""
