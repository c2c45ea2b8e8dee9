"""The frames of one producer, in segments: appended to, read back in order, cut off in front."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from trainmon.relay.entry import Entry
from trainmon.relay.spool.frames import Frame
from trainmon.relay.spool.segment import Segment, segments_in

__all__ = ["Journal"]

_EMPTY = Frame(position=0, base=0, acknowledged=0, reach=0, first=1)


class Journal:
    """What the segments of a folder hold.

    Args:
        folder: Where they are.
        segment_bytes: Beyond it a segment is followed by another.

    Raises:
        OSError: The folder cannot be read or written.
    """

    def __init__(self, folder: Path, segment_bytes: int) -> None:
        self._folder = folder
        self._segment_bytes = segment_bytes
        self._segments = segments_in(folder)
        #: Where the record of a number begins to be looked for: that of the next read.
        self._next: tuple[int, int, int] | None = None
        self.newest = _EMPTY
        """The newest frame, without its records."""
        self.torn_bytes = 0
        """Bytes behind the last whole frame that were dropped when it was opened."""
        self.lost = 0
        """Records that could not be read back."""
        self._recover()
        self.written_s = self._written_s()
        """When a frame was last written before it was opened, in s since the epoch; 0: never."""
        self.bytes = sum(segment.size for segment in self._segments)
        """Bytes of disk it takes."""

    @property
    def first(self) -> int:
        """Number of the oldest record there may be."""
        return self._segments[0].first if self._segments else self.last + 1

    @property
    def last(self) -> int:
        """Number of the newest record; 0: there was none."""
        return self.newest.first - 1

    def _recover(self) -> None:
        """Find the newest whole frame, and what lies behind it."""
        while self._segments:
            segment = self._segments[-1]
            before = segment.size
            newest = None
            for newest in segment.frames():  # noqa: B007 - the last one counts
                pass
            self.torn_bytes += before - segment.size
            if newest is not None:
                self.newest = _marks_after(newest)
                return
            segment.remove()
            del self._segments[-1]

    def _written_s(self) -> float:
        return self._segments[-1].path.stat().st_mtime if self._segments else 0.0

    # --- writing ----------------------------------------------------------------------------------

    def write(self, frame: Frame) -> None:
        """Append a frame.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        if self._segments and self._segments[-1].size < self._segment_bytes:
            self.bytes += self._segments[-1].append(frame)
        else:
            self._begin_segment(frame)
        self.newest = _marks_after(frame)

    def mark(self, marks: Frame) -> None:
        """Append a frame without records, also where a disk is to be left some room, or is full.

        In the last block of a file there is mostly room for it: delivering what is here makes more.

        Raises:
            OSError: It could not be written; nothing has changed.
        """
        if self._segments:
            self.bytes += self._segments[-1].append(marks)
        else:
            self._begin_segment(marks)
        self.newest = marks

    def _begin_segment(self, frame: Frame) -> None:
        index = self._segments[-1].index + 1 if self._segments else 0
        segment = Segment.create(self._folder, index, frame.first)
        try:
            self.bytes += segment.append(frame)
        except OSError:
            with suppress(OSError):  # it holds nothing
                segment.remove()
            raise
        self._segments.append(segment)

    def acknowledge(self, number: int) -> None:
        """Delete the segments whose records all have numbers up to ``number``."""
        while len(self._segments) > 1 and self._segments[1].first <= number + 1:
            oldest = self._segments.pop(0)
            self.bytes -= oldest.size
            with suppress(OSError):  # the next process to open the spool tries again
                oldest.remove()

    # --- reading ----------------------------------------------------------------------------------

    def read(self, number: int, max_bytes: int) -> list[Entry]:
        """Return records from a number on, in order, of some ``max_bytes``.

        Raises:
            OSError: The disk fails.
        """
        found: list[Entry] = []
        place, offset = self._place_of(number)
        size = 0
        while place < len(self._segments) and size < max_bytes:
            frame = self._segments[place].frame_at(offset)
            if frame is not None:
                offset = frame[1]
                new = [entry for entry in frame[0].records if entry.number >= number]
                found += new
                size += sum(len(entry.message) for entry in new)
            elif place + 1 == len(self._segments) and offset == self._segments[place].size:
                break
            else:
                place, offset = self._leave(
                    place, offset, found[-1].number + 1 if found else number
                )
        if found:
            index = self._segments[place].index if place < len(self._segments) else -1
            self._next = (found[-1].number + 1, index, offset)
        return found

    def _place_of(self, number: int) -> tuple[int, int]:
        """Return which segment, and from which offset on, holds a record."""
        if self._next is not None and self._next[0] == number:
            for place, segment in enumerate(self._segments):
                if segment.index == self._next[1]:
                    return place, self._next[2]
        places = [at for at, segment in enumerate(self._segments) if segment.first <= number]
        return (places[-1] if places else 0), 0

    def _leave(self, place: int, offset: int, expected: int) -> tuple[int, int]:
        """Go on to the next segment; what of this one cannot be read is counted."""
        if offset < self._segments[place].size:
            follows = place + 1 < len(self._segments)
            next_number = self._segments[place + 1].first if follows else self.last + 1
            self.lost += max(0, next_number - expected)
            if not follows:
                # What is written behind what cannot be read would never be found.
                self._begin_segment(self.newest)
        return place + 1, 0

    # --- the end ----------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the files."""
        for segment in self._segments:
            segment.close()

    def remove(self) -> None:
        """Delete every segment.

        Raises:
            OSError: One cannot be deleted.
        """
        while self._segments:
            self._segments.pop().remove()
        self.bytes = 0


def _marks_after(frame: Frame) -> Frame:
    """Return what a frame leaves to the next one."""
    return replace(frame, first=frame.first + len(frame.records), records=())
