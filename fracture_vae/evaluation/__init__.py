"""Metrics, always with their intervals."""
