"""The mirror: records shown where a team looks, in MLflow and W&B. What is there can be thrown away and made again."""
