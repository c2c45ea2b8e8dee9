"""Fixtures of the tests of the pages."""

from __future__ import annotations

from trainmon.testing import trainmon_plugins

__all__ = ["trainmon_plugins"]  # a fixture, found here by pytest
