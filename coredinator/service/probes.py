"""Asking a service over the network whether it is well, once and without waiting for anybody else."""

import asyncio

import h11

from coredinator import __version__
from coredinator.services import HealthCheck, ProbeType

_CHUNK = 4096
_GOOD = range(200, 300)


async def probe(check: HealthCheck, port: int) -> str | None:
    """Why the service is not well, None if it is: within the check's time limit it takes a connection, or answers."""
    place = f"{check.host} port {port}"
    try:
        async with asyncio.timeout(check.timeout):
            reader, writer = await asyncio.open_connection(check.host, port)
            try:
                return await _get(reader, writer, check, port) if check.type is ProbeType.HTTP else None
            finally:
                writer.transport.abort()
    except TimeoutError:
        return f"no answer from {place} within {check.timeout:g} s"
    except OSError as error:
        return f"no connection to {place}: {error.strerror or error}"
    except h11.RemoteProtocolError as error:
        return f"what {place} answers is not HTTP: {error}"


async def _get(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, check: HealthCheck, port: int) -> str | None:
    """Ask for the path, and judge by the status line: the body is not waited for."""
    connection = h11.Connection(h11.CLIENT)
    place = f"[{check.host}]:{port}" if ":" in check.host else f"{check.host}:{port}"
    headers = [("Host", place), ("User-Agent", f"coredinator/{__version__}"), ("Connection", "close")]
    writer.write(connection.send(h11.Request(method="GET", target=check.path, headers=headers)) or b"")
    writer.write(connection.send(h11.EndOfMessage()) or b"")
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(_CHUNK))
        elif isinstance(event, h11.Response):
            if event.status_code in _GOOD:
                return None
            return f"http://{place}{check.path} answered {event.status_code}"
