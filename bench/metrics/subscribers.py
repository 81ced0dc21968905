"""`python -m bench.metrics.subscribers ADDRESS COUNT [PAUSE_S]`: subscribers that only receive, in one process.

A line of standard input is answered by the number of frames that all of them have received. With PAUSE_S each of them
receives one frame and then sleeps so long: too slow for what is published.
"""

from __future__ import annotations

import sys
import time

import zmq

from autogrocery.kit.bus import HIGH_WATER_MARK

MOST = 1_000  # frames of one subscriber before the next has its turn


def connected(address: str, count: int) -> list[zmq.Socket[bytes]]:
    """Return so many subscribers, with the high-water mark of ours."""
    context = zmq.Context()
    sockets: list[zmq.Socket[bytes]] = []
    for _ in range(count):
        socket = context.socket(zmq.SUB)
        socket.setsockopt(zmq.RCVHWM, HIGH_WATER_MARK)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"")
        socket.connect(address)
        sockets.append(socket)
    return sockets


def receive(socket: zmq.Socket[bytes], limit: int) -> int:
    """Receive what is queued, up to `limit` frames; returns how many."""
    for number in range(limit):
        try:
            socket.recv(zmq.NOBLOCK)
        except zmq.Again:
            return number
    return limit


def main(address: str, count: int, pause_s: float) -> None:
    """Receive until standard input ends."""
    sockets = connected(address, count)
    poller = zmq.Poller()
    for ready in (*sockets, sys.stdin.fileno()):
        poller.register(ready, zmq.POLLIN)
    print("ready", flush=True)
    received = 0
    while True:
        found = dict(poller.poll())
        received += sum(receive(one, 1 if pause_s else MOST) for one in sockets if one in found)
        if sys.stdin.fileno() in found:
            if not sys.stdin.readline():
                return
            print(received, flush=True)
        time.sleep(pause_s)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]) if sys.argv[3:] else 0.0)
