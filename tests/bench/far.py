"""A distance between laptop and rig: a relay that hands on what it gets some time later, in both directions.

The test machines' kernels have no netem. Like a long line it delays bytes and does not thin them: whoever sends waits
for answers as long as over a real one, and no byte is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time

CHUNK = 1 << 18
ON_THE_LINE = 16 << 20  # bytes at most in flight each way: 800 MiB/s at 20 ms


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay: float) -> None:
    line: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(maxsize=ON_THE_LINE // CHUNK)

    async def take() -> None:
        while data := await reader.read(CHUNK):
            await line.put((time.monotonic() + delay, data))
        await line.put((time.monotonic() + delay, b""))

    taking = asyncio.create_task(take())
    try:
        while True:
            due, data = await line.get()
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            if not data:
                break
            writer.write(data)
            await writer.drain()
    finally:
        taking.cancel()
        with contextlib.suppress(OSError):
            writer.close()


async def _serve(host: str, port: int, to: int, delay: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(2 * delay)  # the handshake of TCP
        there, back = await asyncio.open_connection(host, to)
        with contextlib.suppress(OSError):
            await asyncio.gather(_carry(reader, back, delay), _carry(there, writer, delay))

    server = await asyncio.start_server(connected, host, port, limit=1 << 20)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])))
