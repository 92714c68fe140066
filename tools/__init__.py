"""Benchmarks and maintenance scripts; run them as modules from the repository root."""
