"""Healthy scans with anomalies put in, voxel truth and all, to test what finds them. Nothing trains on these.

It shares no code with what a network is trained to undo, so that a method meets here what it has not seen.
"""

from fracture_vae.cohort.injection.anomaly import KINDS, Anomaly, Injected, draw_anomaly, inject
from fracture_vae.cohort.injection.study import RECORD, inject_cohort

__all__ = ["KINDS", "RECORD", "Anomaly", "Injected", "draw_anomaly", "inject", "inject_cohort"]
