"""Settings of the whole suite."""

from hypothesis import settings

settings.register_profile("ebagx", deadline=None, derandomize=True, database=None)
settings.load_profile("ebagx")
