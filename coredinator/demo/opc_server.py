"""The OPC UA server between the plant and CoreIO: it holds the last value of every tag."""

import asyncio
import logging
import os
import sys

from asyncua.server.server import Server

from coredinator.demo.opc import NAMESPACE, NAMESPACE_INDEX, node_id
from coredinator.demo.process import run
from coredinator.demo.tags import ACTUATORS, HOURS, MEASUREMENTS, NO_PLANT_YET, TRIP

_log = logging.getLogger(__name__)

URL_VARIABLE = "COREDINATOR_DEMO_OPC_URL"
"""Names the address to serve: this program takes no argument."""


async def serve(url: str) -> None:
    """Serve until cancelled."""
    server = Server()
    await server.init()
    server.set_endpoint(url)
    server.set_server_name("Coredinator demo plant")
    index = await server.register_namespace(NAMESPACE)
    if index != NAMESPACE_INDEX:
        raise RuntimeError(f"namespace {NAMESPACE} got index {index} instead of {NAMESPACE_INDEX}")
    plant = await server.nodes.objects.add_object(index, "TennesseeEastman")
    initial: dict[str, float | str] = {
        **dict.fromkeys((*MEASUREMENTS, *ACTUATORS), 0.0),
        HOURS: NO_PLANT_YET,
        TRIP: "",
    }
    for tag, value in initial.items():
        variable = await plant.add_variable(node_id(tag), tag, value)
        await variable.set_writable()
    async with server:
        _log.info("serving %d tags at %s", len(initial), url)
        await asyncio.Event().wait()


def main() -> None:
    """Entry point."""
    if (url := os.environ.get(URL_VARIABLE)) is None:
        sys.exit(f"opc_server: {URL_VARIABLE} is not set; use the launcher that coredinator.demo.build writes")
    run(serve(url))


if __name__ == "__main__":
    main()
