"""Weights & Biases: runs, online or in files of its own."""
