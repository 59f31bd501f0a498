"""MLflow: runs, views for its pages, the champion as a registered model, and `lab ui`."""
