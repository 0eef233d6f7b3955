"""What every test may use."""

from __future__ import annotations

import os

for name in [name for name in os.environ if name.startswith("PARAMEDIC_")]:
    del os.environ[name]  # a developer's own settings must not decide a test
os.environ["COLUMNS"] = "120"  # what commands print must not depend on the terminal that runs the tests
