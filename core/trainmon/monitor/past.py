"""What happened in a session, from its store or, where that keeps none, from memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from google.protobuf.message import Message
from grpclib.const import Status

from trainmon.monitor.refusal import RefusedError
from trainmon.monitor.store.base import EventsPage, Store
from trainmon.v1.dashboard_pb2 import EventKind, QueryEventsRequest, QueryEventsResponse

if TYPE_CHECKING:
    from trainmon.monitor.session import Session

__all__ = ["past_events"]

#: For each kind the name that stores know it by, and the list of the answer it goes into.
_KINDS = {
    EventKind.EVENT_KIND_EPOCH: ("epoch_data", "epochs"),
    EventKind.EVENT_KIND_COMMAND: ("command_record", "commands"),
    EventKind.EVENT_KIND_ERROR: ("error", "errors"),
    EventKind.EVENT_KIND_STATUS: ("status_update", "statuses"),
}
#: Stores count in 64 bits with a sign.
_MOST_AFTER = (1 << 63) - 1
#: A page from memory ends with the event that brings it to this size, in bytes.
_PAGE_BYTES = 1 << 20


async def past_events(
    store: Store, session: Session, request: QueryEventsRequest
) -> QueryEventsResponse:
    """Answer a question for events, but for the time.

    Raises:
        RefusedError: INVALID_ARGUMENT for a kind that is not known, or a place that no store has.
    """
    if request.kind not in _KINDS:
        raise RefusedError(
            Status.INVALID_ARGUMENT,
            f"kind is {request.kind}, but should be one that this monitor knows: "
            f"{', '.join(map(EventKind.Name, _KINDS))}",
        )
    if request.after > _MOST_AFTER:
        raise RefusedError(
            Status.INVALID_ARGUMENT,
            f"after is {request.after}, but at most {_MOST_AFTER}: send `next` of an answer",
        )
    kind, name = _KINDS[request.kind]
    page = await store.events(session.id, kind, request.after)
    if page is None:
        page = _from_memory(_remembered(session, kind), request.after)
    answer = QueryEventsResponse(next=page.next)
    events = getattr(answer, name)
    for message in page.messages:
        events.add().ParseFromString(message)
    return answer


def _remembered(session: Session, kind: str) -> Iterable[Message]:
    if kind == "epoch_data":
        return session.epochs
    if kind == "command_record":
        return session.commands
    return session.errors if kind == "error" else ()


def _from_memory(events: Iterable[Message], after: int) -> EventsPage:
    known: Sequence[Message] = list(events)
    messages: list[bytes] = []
    left = _PAGE_BYTES
    for message in known[after:]:
        messages.append(message.SerializeToString())
        left -= len(messages[-1])
        if left < 0:
            break
    end = after + len(messages)
    return EventsPage(messages, end if end < len(known) else 0)
