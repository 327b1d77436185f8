"""The plant's tags, alike as OPC UA nodes and in messages on the event bus."""

# pyright: reportMissingTypeStubs=false
# tep-studio is typed, and does not say so with a py.typed file.

from tep_studio.simulation.schema import TEP_SCHEMA

MEASUREMENTS: tuple[str, ...] = tuple(TEP_SCHEMA.names("measurements"))
ACTUATORS: tuple[str, ...] = tuple(TEP_SCHEMA.names("manipulated_variables"))
HOURS = "simulated_hours"
NO_PLANT_YET = -1.0
"""The simulated hours before the plant has written its first values."""
TRIP = "trip_reason"
"""Why the plant has shut itself down, empty while it runs."""

TOPIC_OBSERVATION = "plant.observation"
"""From CoreIO: all tags, the actuators' as the plant has them now."""
TOPIC_ACTUATORS = "plant.actuators"
"""From CoreRL: where the actuators are to go."""
