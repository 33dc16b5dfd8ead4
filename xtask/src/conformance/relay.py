"""Puts TLS around a fuzzer that speaks none, or takes it off.

relay.py to-tls PORT               relays what comes here in plain text to PORT by TLS
relay.py from-tls PORT CERT KEY    relays what comes here by TLS to PORT in plain text

The first line printed is the port to come to. It runs until it is killed.
"""

import asyncio
import ssl
import sys


async def copy(reader, writer):
    """Moves bytes until one side ends, then ends the other."""
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except (OSError, ssl.SSLError):
        pass
    finally:
        writer.close()


async def main(direction, port, *pair):
    inner = outer = None
    if direction == "to-tls":
        inner = ssl.create_default_context()
        inner.check_hostname = False
        inner.verify_mode = ssl.CERT_NONE
    else:
        outer = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        outer.load_cert_chain(*pair)

    async def relay(reader, writer):
        try:
            far = await asyncio.open_connection("127.0.0.1", int(port), ssl=inner)
        except (OSError, ssl.SSLError):
            writer.close()
            return
        await asyncio.gather(copy(reader, far[1]), copy(far[0], writer))

    server = await asyncio.start_server(relay, "127.0.0.1", 0, ssl=outer)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await server.serve_forever()


asyncio.run(main(*sys.argv[1:]))
