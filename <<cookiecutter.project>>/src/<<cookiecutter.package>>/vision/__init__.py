"""The four stages of the pipeline (prepare, train, infer, quant) and what they share."""
