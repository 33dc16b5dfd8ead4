"""Talks to an echo server: with the module websockets where it is installed, else
by hand. Arguments: URL, a file of CA certificates or "", and a subprotocol to offer,
if any. Ends with status 0 if all came back."""

import asyncio
import base64
import hashlib
import os
import socket
import ssl
import struct
import sys
from urllib.parse import urlsplit

try:
    import websockets
except ImportError:
    websockets = None

SIZES = [0, 1, 125, 126, 65535, 65536, 200000]
MESSAGES = [m for size in SIZES for m in ("ß" * (size // 2), bytes(i % 251 for i in range(size)))]
CLOSE_CODE = 3456
TIMEOUT = 10


def context(ca):
    return ssl.create_default_context(cafile=ca) if ca else None


async def with_module(url, ca, subprotocol):
    offered = [subprotocol] if subprotocol else None
    tls = {"ssl": context(ca)} if ca else {}
    async with websockets.connect(url, subprotocols=offered, **tls) as peer:
        assert peer.subprotocol == subprotocol, peer.subprotocol
        for message in MESSAGES:
            await peer.send(message)
            echo = await asyncio.wait_for(peer.recv(), TIMEOUT)
            assert echo == message, len(message)
        await peer.close(CLOSE_CODE, "enough")


class ByHand:
    """RFC 6455, as much of it as an echo needs."""

    def __init__(self, url, ca, subprotocol):
        parts = urlsplit(url)
        stream = socket.create_connection((parts.hostname, parts.port), TIMEOUT)
        if ca:
            stream = context(ca).wrap_socket(stream, server_hostname=parts.hostname)
        self.stream = stream
        self.file = stream.makefile("rb")
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [
            f"GET {parts.path} HTTP/1.1",
            f"Host: {parts.netloc}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Key: {key}",
            "Sec-WebSocket-Version: 13",
        ]
        if subprotocol:
            lines.append(f"Sec-WebSocket-Protocol: {subprotocol}")
        stream.sendall("\r\n".join([*lines, "", ""]).encode())
        status = self.file.readline()
        assert status.startswith(b"HTTP/1.1 101 "), status
        headers = {}
        while (line := self.file.readline().decode().strip()) != "":
            name, value = line.split(":", 1)
            headers[name.lower()] = value.strip()
        guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
        accept = base64.b64encode(hashlib.sha1((key + guid).encode()).digest()).decode()
        assert headers["sec-websocket-accept"] == accept, headers
        assert headers.get("sec-websocket-protocol") == subprotocol, headers

    def send(self, opcode, payload):
        length = len(payload)
        if length < 126:
            head = struct.pack("!BB", 0x80 | opcode, 0x80 | length)
        elif length < 1 << 16:
            head = struct.pack("!BBH", 0x80 | opcode, 0x80 | 126, length)
        else:
            head = struct.pack("!BBQ", 0x80 | opcode, 0x80 | 127, length)
        mask = os.urandom(4)
        masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
        self.stream.sendall(head + mask + masked)

    def message(self):
        """The opcode and payload of the next message, from all of its frames."""
        opcode, payload, final = None, b"", False
        while not final:
            first, length = self.file.read(2)
            assert length < 0x80, "a server doesn't mask"
            if length == 126:
                (length,) = struct.unpack("!H", self.file.read(2))
            elif length == 127:
                (length,) = struct.unpack("!Q", self.file.read(8))
            opcode = first & 0xF if opcode is None else opcode
            payload += self.file.read(length)
            final = first & 0x80 != 0
        return opcode, payload

    def talk(self):
        for message in MESSAGES:
            text = isinstance(message, str)
            sent = (1, message.encode()) if text else (2, message)
            self.send(*sent)
            assert self.message() == sent, len(message)
        code = struct.pack("!H", CLOSE_CODE)
        self.send(8, code + b"enough")
        opcode, payload = self.message()
        assert (opcode, payload[:2]) == (8, code), (opcode, payload)
        assert self.file.read() == b"", "nothing follows a close frame"


url, ca, subprotocol = (sys.argv[1:] + ["", ""])[:3]
if websockets:
    asyncio.run(with_module(url, ca, subprotocol or None))
    print(f"{len(MESSAGES)} echoes, by websockets {websockets.__version__}")
else:
    ByHand(url, ca, subprotocol or None).talk()
    print(f"{len(MESSAGES)} echoes, by hand")
