"""Python's `websockets` as a client: `websockets_client.py <story> <host> <port> [details]`.

Prints what happened, as JSON.
"""

import asyncio
import hashlib
import json
import os
import sys
from urllib.parse import urlencode

import websockets

story, host, port = sys.argv[1:4]
details = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}


def connect(target, **options):
    # The name is for the request, the address for the connection: no name server knows the name.
    return websockets.connect(
        f"ws://{host}:{port}{target}",
        host="127.0.0.1",
        port=int(port),
        max_size=None,
        **options,
    )


def headers_of(socket):
    # `response_headers` until version 13, `response.headers` since.
    if hasattr(socket, "response_headers"):
        return socket.response_headers
    return socket.response.headers


async def ask(socket, message):
    await socket.send(message)
    return await socket.recv()


async def in_pieces(pieces):
    for piece in pieces:
        yield piece
        await asyncio.sleep(0)


async def echo():
    async with connect("/echo") as socket:
        text = await ask(socket, "grüße, 世界 🌍")
        empty = await ask(socket, "")
        sent = os.urandom(70_000)
        binary = await ask(socket, sent)
    return {
        "text": text,
        "empty": empty,
        "binary": binary == sent,
        "end": [socket.close_code, socket.close_reason],
    }


async def fragments():
    pieces = [f"piece {number}, " for number in range(500)]
    blobs = [os.urandom(20_000) for _ in range(50)]
    async with connect("/echo", compression=None) as socket:
        text = await ask(socket, in_pieces(pieces))
        binary = await ask(socket, in_pieces(blobs))
    async with connect("/fragments") as socket:
        answer = await ask(socket, "one two three")
    return {
        "text": text == "".join(pieces),
        "binary": binary == b"".join(blobs),
        "answer": answer,
    }


async def pings():
    async with connect("/echo") as socket:
        await asyncio.wait_for(await socket.ping("hello"), 10)
    async with connect("/pinging") as socket:
        message = await socket.recv()
    return message


async def compression():
    text = "again and " * 100_000
    async with connect("/echo") as socket:
        echoed = await ask(socket, text) == text
        extensions = headers_of(socket).get("Sec-WebSocket-Extensions")
    return {"extensions": extensions, "echoed": echoed}


async def subprotocols():
    async with connect("/echo", subprotocols=["first", "second"]) as socket:
        return socket.subprotocol


async def large():
    sent = os.urandom(16 * 1024 * 1024)
    async with connect("/echo", compression=None) as socket:
        got = await ask(socket, sent)
    return hashlib.sha256(got).digest() == hashlib.sha256(sent).digest()


async def close_by_client():
    socket = await connect("/echo")
    await socket.close(details["code"], details["reason"])
    return {"code": socket.close_code, "reason": socket.close_reason}


async def close_by_app():
    async with connect(f"/closed-by-app?{urlencode(details)}") as socket:
        await socket.wait_closed()
    return {"code": socket.close_code, "reason": socket.close_reason}


async def vanishing():
    async with connect("/vanishing") as socket:
        await socket.wait_closed()
    return socket.close_code


async def closes():
    async with connect("/closes") as socket:
        return json.loads(await socket.recv())


print(json.dumps(asyncio.run(globals()[story]())))
