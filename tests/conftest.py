"""Settings of the whole suite."""

import os

from hypothesis import settings

os.environ["MPLBACKEND"] = "agg"  # plots open no window

settings.register_profile("ebagx", deadline=None, derandomize=True, database=None)
settings.load_profile("ebagx")
