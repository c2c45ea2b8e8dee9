"""What is known of a run: from registration, and what became known later. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from trainmon.v1.control_pb2 import ControlSpec
from trainmon.v1.telemetry_pb2 import RegisterTrainingSessionRequest, SessionDetails

__all__ = ["MAX_REGISTRATION_BYTES", "merge_controls", "merge_details", "merge_registration"]

#: What may be known of one run, in bytes: it is part of every snapshot.
MAX_REGISTRATION_BYTES = 1 << 20
#: The same with the ids that the monitor adds.
_MAX_KNOWN_BYTES = MAX_REGISTRATION_BYTES + (1 << 10)

Registration = RegisterTrainingSessionRequest

_PLAIN = (
    "session_name",
    "framework",
    "framework_version",
    "hostname",
    "pid",
    "rank",
    "world_size",
    "timestamp_ms",
)
_OPTIONAL = ("total_epochs", "batches_per_epoch")


def merge_registration(known: Registration, news: Registration, *, prefer_news: bool) -> str:
    """Add what another registration of the same run says; empty and unset fields change nothing.

    Args:
        known: Changed in place.
        news: What was registered now.
        prefer_news: Whether it wins where both say something: true for the first rank.

    Returns:
        Why it was not added; empty where it was.
    """
    if known.ByteSize() + news.ByteSize() <= MAX_REGISTRATION_BYTES:
        _merge(known, news, prefer_news=prefer_news)
        return ""
    merged = Registration()
    merged.CopyFrom(known)
    _merge(merged, news, prefer_news=prefer_news)
    if merged.ByteSize() > _MAX_KNOWN_BYTES:
        return (
            f"{merged.ByteSize()} bytes would be known of this run, the limit is "
            f"{MAX_REGISTRATION_BYTES}: what is new was dropped; send fewer or shorter "
            "hyperparameters and class names"
        )
    known.CopyFrom(merged)
    return ""


def _merge(known: Registration, news: Registration, *, prefer_news: bool) -> None:
    for name in _PLAIN:
        if getattr(news, name) and (prefer_news or not getattr(known, name)):
            setattr(known, name, getattr(news, name))
    for name in _OPTIONAL:
        if news.HasField(name) and (prefer_news or not known.HasField(name)):
            setattr(known, name, getattr(news, name))
    if news.class_names and (prefer_news or not known.class_names):
        known.class_names[:] = news.class_names
    for key, value in news.hyperparameters.items():
        if prefer_news or key not in known.hyperparameters:
            known.hyperparameters[key] = value
    if prefer_news or not known.controls:
        merge_controls(known, news.controls)
    known.sends_metric_data = known.sends_metric_data or news.sends_metric_data


def merge_details(known: Registration, details: SessionDetails) -> str:
    """Add what a StatusUpdate says that became known since registration.

    Returns:
        Why it was not added; empty where it was.
    """
    news = Registration(
        class_names=details.class_names,
        hyperparameters=details.hyperparameters,
        controls=details.controls,
    )
    for name in _OPTIONAL:
        if details.HasField(name):
            setattr(news, name, getattr(details, name))
    return merge_registration(known, news, prefer_news=True)


def merge_controls(known: Registration, controls: Iterable[ControlSpec]) -> None:
    """Add controls, or put them in the place of those of the same name."""
    index = {spec.name: spec for spec in known.controls}
    for spec in controls:
        if spec.name in index:
            index[spec.name].CopyFrom(spec)
        else:
            index[spec.name] = known.controls.add()
            index[spec.name].CopyFrom(spec)
