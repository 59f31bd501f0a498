"""The first backend: DVC's own queue and workers. All that knows the insides of either is here."""
