"""How the property tests search: without a clock, and in continuous integration over the same examples each time."""

import os

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize="CI" in os.environ)
settings.register_profile("soak", deadline=None, max_examples=3000, derandomize=False)
settings.load_profile("steady")
