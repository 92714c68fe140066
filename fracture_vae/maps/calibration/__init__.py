"""Calibration: from healthy maps out of fold to z maps, p-values and a threshold with a stated rate of false alarms."""

from fracture_vae.maps.calibration.collect import HealthyMaps

__all__ = ["HealthyMaps"]
