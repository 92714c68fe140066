"""Anomaly detection for 3D medical images on MONAI: what departs from healthy anatomy, where, and how sure."""

__version__ = "0.2.0"
