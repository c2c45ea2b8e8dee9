"""A viewer in a process of its own: asks for pictures and counts what arrives until it is ended.

    python -m common.watch MONITOR FRAMES_PER_SECOND TILE_SIZE

Prints ``watching`` with the first picture, and when its input is closed how many pictures came.
"""

from __future__ import annotations

import sys
import threading
import time

import grpc

from trainmon.v1.dashboard_pb2 import ListSessionsRequest, WatchSessionRequest
from trainmon_gateway.v1.dashboard_pb2_grpc import DashboardServiceStub


def main() -> None:
    """Watch the newest session."""
    address, rate, tile = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        stub = DashboardServiceStub(channel)
        while not (sessions := stub.ListSessions(ListSessionsRequest()).sessions):
            time.sleep(0.05)
        session = sessions[0].session_id
        request = WatchSessionRequest(session_id=session, frames_per_second=rate, tile_size=tile)
        stream = stub.WatchSession(request)
        threading.Thread(target=lambda: (sys.stdin.read(), stream.cancel()), daemon=True).start()
        count = 0
        try:
            for event in stream:
                if event.HasField("batch_data") and event.batch_data.images:
                    count += 1
                    if count == 1:
                        print("watching", flush=True)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.CANCELLED:
                raise
        print(count, flush=True)


if __name__ == "__main__":
    main()
