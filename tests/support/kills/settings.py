"""What can be set of the kill tests, read before tests hide the variables."""

from __future__ import annotations

import os
import random

__all__ = ["CAMPAIGN", "ROUNDS", "SEED"]

ROUNDS = int(os.environ.get("TRAINMON_TEST_ROUNDS") or 50)
"""Of each kind."""
SEED = int(os.environ.get("TRAINMON_TEST_SEED") or random.SystemRandom().randrange(2**32))
"""Of everything that is random in tests of kills and faults."""
CAMPAIGN = int(os.environ.get("TRAINMON_TEST_CAMPAIGN") or 0)
"""Seed of one campaign, as its failure tells it; 0: made of SEED and the kind."""
