"""What is particular to each kind of service; everything else is the same for all."""

from dataclasses import dataclass
from enum import StrEnum


class KindName(StrEnum):
    """A kind's name in the API and in the mirror."""

    CORERL = "corerl"
    COREIO = "coreio"
    SERVICE = "service"
    TEP = "tep"
    UASERVER = "uaserver"


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of service.

    `program` is the name looked for under the base path; a `versioned` one must follow the full
    `{platform}-{program}-v{version}` format. `id_suffix` makes the service's id out of the unit's
    instance. `start_rank` orders starts: lower ones first.
    """

    name: KindName
    unit_prefix: str
    program: str
    versioned: bool
    topic: str
    description: str
    id_suffix: str
    start_rank: int
    takes_config: bool = True


KINDS: dict[KindName, Kind] = {
    kind.name: kind
    for kind in (
        Kind(
            KindName.UASERVER, "coredinator-uaserver", "opc_server", versioned=False, topic="service",
            description="OPC UA server of demo plant {id}", id_suffix="-uaserver", start_rank=0, takes_config=False,
        ),
        Kind(
            KindName.TEP, "coredinator-tep", "opc_tep", versioned=False, topic="service",
            description="Simulated Tennessee Eastman plant of {id}", id_suffix="-tep", start_rank=1,
        ),
        Kind(
            KindName.COREIO, "coredinator-coreio", "coreio", versioned=True, topic="coreio",
            description="CoreIO {id}, the link to the plant", id_suffix="", start_rank=2,
        ),
        Kind(
            KindName.CORERL, "coredinator-agent", "corerl", versioned=True, topic="agent",
            description="CoreRL of agent {id}", id_suffix="-corerl", start_rank=3,
        ),
        # Which program a one-off service runs is declared for each in the settings file.
        Kind(
            KindName.SERVICE, "coredinator-service", "", versioned=False, topic="service",
            description="Service {id}", id_suffix="", start_rank=4,
        ),
    )
}  # fmt: skip
"""The kinds that can be started, by name."""
