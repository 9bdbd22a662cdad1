"""What holds for all unit tests."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

# By default an example that takes longer than 200 ms is a failure: on a busy machine any may.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
