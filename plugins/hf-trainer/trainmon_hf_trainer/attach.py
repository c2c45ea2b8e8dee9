"""The ways to every Trainer: ``report_to="trainmon"``, and none at all.

Both only add to lists that transformers reads when a Trainer is made; nothing of it is replaced.
"""

from __future__ import annotations

from types import ModuleType

from trainmon_hf_trainer.later import when_imported

__all__ = ["attach_to_every_trainer", "offer_report_to"]


def offer_report_to() -> None:
    """Make ``report_to="trainmon"`` known, now or once transformers is imported.

    ``report_to="all"`` stays what it is: it lists transformers' own integrations.
    """
    when_imported("transformers.integrations.integration_utils", _add_integration)


def attach_to_every_trainer() -> None:
    """Give each Trainer made from now on a callback of ours; it turns itself off beside another."""
    when_imported("transformers.trainer", _add_default)


def _add_integration(module: ModuleType) -> None:
    from trainmon_hf_trainer.callback import ReportedCallback

    module.INTEGRATION_TO_CALLBACK.setdefault("trainmon", ReportedCallback)


def _add_default(module: ModuleType) -> None:
    from trainmon_hf_trainer.callback import AutomaticCallback

    if AutomaticCallback not in module.DEFAULT_CALLBACKS:
        module.DEFAULT_CALLBACKS.append(AutomaticCallback)
