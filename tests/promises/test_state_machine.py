"""Run sequences of calls of a module that hypothesis draws; `nox -s fuzz` runs more."""

import os

from hypothesis import settings

from fuzz.machine import ModuleLife

LIVES = int(os.environ.get("EBAGX_LIVES", "25"))

TestModuleLife = ModuleLife.TestCase
TestModuleLife.settings = settings(max_examples=LIVES, stateful_step_count=25)
