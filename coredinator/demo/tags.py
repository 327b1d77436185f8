"""The plant's tags: the OPC UA nodes, and the same names in messages on the event bus."""

from asyncua import Client, Node
from asyncua.ua import NodeId
from tep_studio.simulation.schema import TEP_SCHEMA

NAMESPACE = "urn:coredinator:demo:tep"
NAMESPACE_INDEX = 2
"""The first index that a server gives away."""

MEASUREMENTS: tuple[str, ...] = tuple(TEP_SCHEMA.names("measurements"))
ACTUATORS: tuple[str, ...] = tuple(TEP_SCHEMA.names("manipulated_variables"))
HOURS = "simulated_hours"
NO_PLANT_YET = -1.0
"""The simulated hours before the plant has written its first values."""
TRIP = "trip_reason"
"""Why the plant has shut itself down, empty while it runs."""

TOPIC_MEASUREMENTS = "plant.measurements"
TOPIC_ACTUATORS = "plant.actuators"


def node_id(tag: str) -> NodeId:
    """The id of a tag's node."""
    return NodeId(tag, NAMESPACE_INDEX)


def nodes(client: Client, tags: tuple[str, ...]) -> list[Node]:
    """The nodes of several tags."""
    return [client.get_node(node_id(tag)) for tag in tags]
