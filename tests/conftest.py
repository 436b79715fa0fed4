"""What holds for all tests."""

import os

from hypothesis import settings

# A shared machine may be slow at any moment, so no example has a deadline; a failing one prints how to get it again.
# "soak" is what `make soak-properties` asks for; simulations have a soak of their own, `make soak`.
settings.register_profile("usual", deadline=None, print_blob=True)
settings.register_profile("soak", settings.get_profile("usual"), max_examples=5000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "usual"))
