"""The plant's tags, alike as OPC UA nodes and in messages on the event bus."""

# tep-studio's names, in the order of its vectors. Written out, because importing tep-studio takes a
# second or two that CoreIO and the OPC UA server need not spend, at each of their restarts.
MEASUREMENTS = (
    "feed_A_flow",
    "feed_D_flow",
    "feed_E_flow",
    "feed_AC_flow",
    "recycle_flow",
    "reactor_feed_flow",
    "reactor_pressure",
    "reactor_level",
    "reactor_temperature",
    "purge_flow",
    "separator_temperature",
    "separator_level",
    "separator_pressure",
    "separator_underflow",
    "stripper_level",
    "stripper_pressure",
    "stripper_underflow",
    "stripper_temperature",
    "stripper_steam_flow",
    "compressor_work",
    "reactor_cooling_water_outlet_temperature_meas",
    "condenser_cooling_water_outlet_temperature",
    *(f"reactor_feed_{component}_concentration" for component in "ABCDEF"),
    *(f"purge_{component}_concentration" for component in "ABCDEFGH"),
    *(f"stripper_underflow_{component}_concentration" for component in "DEFGH"),
)
ACTUATORS = (
    "d_feed_valve",
    "e_feed_valve",
    "a_feed_valve",
    "ac_feed_valve",
    "compressor_recycle_valve",
    "purge_valve",
    "separator_underflow_valve",
    "stripper_underflow_valve",
    "stripper_steam_valve",
    "reactor_cooling_water_valve",
    "separator_cooling_water_valve",
    "reactor_agitator_speed",
)
HOURS = "simulated_hours"
NO_PLANT_YET = -1.0
"""The simulated hours before the plant has written its first values."""
TRIP = "trip_reason"
"""Why the plant has shut itself down, empty while it runs."""

TOPIC_OBSERVATION = "plant.observation"
"""From CoreIO: all tags, the actuators' as the plant has them now."""
TOPIC_ACTUATORS = "plant.actuators"
"""From CoreRL: where the actuators are to go."""
