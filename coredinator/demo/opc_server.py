"""The OPC UA server between the plant and CoreIO: it holds the last value of every tag."""

import asyncio
import logging
import os

from asyncua import Server

from coredinator.demo.process import run
from coredinator.demo.tags import ACTUATORS, HOURS, MEASUREMENTS, NAMESPACE, NAMESPACE_INDEX, NO_PLANT_YET, TRIP, node_id

_log = logging.getLogger(__name__)

URL_VARIABLE = "COREDINATOR_DEMO_OPC_URL"


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
    """Entry point; the address is in the environment, for this program takes no argument."""
    run(serve(os.environ[URL_VARIABLE]))


if __name__ == "__main__":
    main()
