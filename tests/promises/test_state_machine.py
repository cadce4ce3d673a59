"""The life of a module, as hypothesis thinks it up; `nox -s fuzz` thinks longer."""

import os

from hypothesis import settings

from fuzz.machine import ModuleLife

LIVES = int(os.environ.get("EBAGX_LIVES", "25"))

TestModuleLife = ModuleLife.TestCase
TestModuleLife.settings = settings(max_examples=LIVES, stateful_step_count=25)
