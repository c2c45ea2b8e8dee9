"""What can be set of the kill tests, read before tests hide the variables."""

from __future__ import annotations

import os
import random

__all__ = ["ROUNDS", "SEED"]

ROUNDS = int(os.environ.get("TRAINMON_TEST_ROUNDS") or 0)
"""Of each kind; 0: as many as are usual."""
SEED = int(os.environ.get("TRAINMON_TEST_SEED") or random.SystemRandom().randrange(2**32))
