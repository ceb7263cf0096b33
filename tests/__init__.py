"""The tests: one folder for each folder of the package, and `integration` for real servers."""

from hypothesis import HealthCheck, settings

# What a test finds must not depend on how busy the machine is.
settings.register_profile("appproxy", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("appproxy")
