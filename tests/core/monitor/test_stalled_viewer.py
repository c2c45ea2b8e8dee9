"""What a viewer that has stopped reading costs the monitor, in bytes."""

from __future__ import annotations

import asyncio

from trainmon.http2 import BURST_BYTES

PICTURE = bytes(1 << 20)
#: What asyncio's transport holds before it asks to wait.
HIGH_WATER = 64 << 10


async def test_a_viewer_that_reads_nothing_costs_two_pictures_and_a_burst(running, watch):
    """However many pictures follow: one half sent, one that waits, what is written for the socket.

    The socket itself holds what the system lets it, and the viewer's window ends that.
    """
    monitor, trainer = running
    await watch(monitor, trainer.session_id, frames_per_second=60.0)
    hub = monitor.session(trainer.session_id).hub
    await monitor.until(lambda: hub.viewers == 1)
    (viewer,) = hub._viewers
    made = []

    def payload():
        made.append(len(PICTURE))
        return PICTURE

    def publish():
        hub.publish_picture(payload, has_samples=True)
        return viewer.pictures_dropped

    (connection,) = (
        each.connection
        for each in monitor.server._server._connections
        if each.connection._connection.streams
    )
    h2 = connection._connection
    # Streams share the connection's window; once that is used up nothing more goes out.
    await monitor.until(lambda: publish() and not h2.outbound_flow_control_window)
    waiting, dropped = h2.outbound_flow_control_window, viewer.pictures_dropped
    for _ in range(100):
        publish()
        await asyncio.sleep(0)
    assert viewer.pictures_dropped >= dropped + 99
    assert h2.outbound_flow_control_window == waiting == 0
    written = connection._transport.get_write_buffer_size() + len(h2._data_to_send)
    assert written <= BURST_BYTES + HIGH_WATER
    assert viewer.queued_bytes == 0
    held = 0 if viewer._picture is None else len(viewer._picture.data)
    assert held <= len(PICTURE) + 200
    assert len(made) >= 100
