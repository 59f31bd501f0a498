"""Suspected label errors: objects with another class or place than the model is sure of, and such without a label."""

from ...relabelling.objects import suspects

__all__ = ["suspects"]
