"""Measurements behind the claims of speed and quality: each prints a table and writes a JSON file."""
