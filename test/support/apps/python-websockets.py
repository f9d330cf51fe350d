"""WebSocket echo by Python's `websockets`: version 10 of Debian 12, and newer ones.

`/closed-by-app?code=&reason=` closes, `/vanishing` breaks off, `/pinging` pings and tells of the
pong, `/fragments` answers in fragments, `/closes` tells how the sockets ended.
"""

import asyncio
import json
import os
import signal
from urllib.parse import parse_qs, urlsplit

import websockets

closes = []


def target_of(socket):
    # `path` until version 13, `request.path` since.
    return urlsplit(socket.path if hasattr(socket, "path") else socket.request.path)


async def answer(socket, *_path):
    target = target_of(socket)
    if target.path == "/closes":
        await socket.send(json.dumps(closes))
        return
    try:
        if target.path == "/closed-by-app":
            query = parse_qs(target.query)
            await socket.close(int(query["code"][0]), query["reason"][0])
        elif target.path == "/vanishing":
            socket.transport.abort()
        elif target.path == "/pinging":
            await (await socket.ping("are you there?"))
            await socket.send("there was a pong")
        elif target.path == "/fragments":
            # An answer in as many fragments as the question has words.
            words = (await socket.recv()).split()
            await socket.send(piece async for piece in as_they_come(words))
        async for message in socket:
            await socket.send(message)
    except websockets.ConnectionClosed:
        pass
    await socket.wait_closed()
    closes.append({"code": socket.close_code, "reason": socket.close_reason})


async def as_they_come(words):
    for word in words:
        yield word


async def main():
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    port = int(os.environ["PORT"])
    serving = websockets.serve(
        answer, "127.0.0.1", port, max_size=None, subprotocols=["second"]
    )
    async with serving:
        await stopped.wait()


asyncio.run(main())
