"""Examples of answers on the OpenAPI page, of one plant: an agent with its CoreIO, a one-off service, and a demo."""

from pydantic.config import JsonDict, JsonValue

from coredinator import __version__
from coredinator.service.identity import Identity
from coredinator.services import KindName

SERVICE: JsonDict = {
    "id": "coretelemetry",
    "state": "running",
    "intended_state": "running",
    "config_path": "/etc/plant/telemetry.yaml",
    "unit": "coredinator-service@coretelemetry.service",
    "main_pid": 4711,
    "executable": "/opt/coredinator/1.4.2/linux-coretelemetry-v1.4.2",
    "version": "1.4.2",
    "since": "2026-11-24T09:00:00Z",
    "restarts": 0,
    "result": "success",
    "exit_status": None,
    "error": None,
    "memory_bytes": 73400320,
    "memory_peak_bytes": 81788928,
    "cpu_seconds": 12.5,
    "tasks": 4,
    "io_read_bytes": 1048576,
    "io_write_bytes": 4096,
    "unavailable": [],
    "limits": {"memory_max": 268435456, "tasks_max": 4096},
    "health": {"healthy": True, "detail": "answers on port 8001"},
    "frozen": False,
    "drop_ins": ["/usr/lib/systemd/system/coredinator-service@.service.d/10-ceiling.conf"],
}

ONE_OFF: JsonDict = {"name": "coretelemetry", "declared": True, "autostart": True, "status": SERVICE}


def _service(kind: KindName, instance: str, main_pid: int, **more: JsonValue) -> JsonDict:
    """A service of an agent, all in order unless `more` says otherwise."""
    identity = Identity(kind, instance)
    spec = identity.spec
    file = f"1.4.2/linux-{spec.program}-v1.4.2" if spec.versioned else spec.program
    service: JsonDict = {
        "id": identity.service_id,
        "config_path": "/etc/plant/backwash.yaml",
        "unit": identity.unit,
        "main_pid": main_pid,
        "executable": f"/opt/coredinator/{file}",
        "version": "1.4.2" if spec.versioned else None,
        "limits": {"tasks_max": 4096},
        "health": None,
        "drop_ins": [],
    }
    return SERVICE | service | more


_COREIO = _service(KindName.COREIO, "backwash-coreio", 4708)
_CORERL = _service(
    KindName.CORERL, "backwash", 4715, limits={"memory_max": 2147483648, "cpu_quota": "150%", "tasks_max": 4096}
)

AGENT: JsonDict = {
    "id": "backwash",
    "state": "running",
    "intended_state": "running",
    "config_path": _CORERL["config_path"],
    "service_statuses": {"corerl": _CORERL, "coreio": _COREIO},
}

UNKNOWN_AGENT: JsonDict = {"id": "backwash", "state": "stopped", "config_path": None, "service_statuses": {}}

TRANSITION: JsonDict = {
    "at": "2026-11-24T09:00:00.004000Z",
    "unit": _CORERL["unit"],
    "previous_state": "starting",
    "state": "running",
    "cause": "request",
    "main_pid": _CORERL["main_pid"],
    "result": "success",
    "exit_status": None,
    "restarts": 0,
}

COREIO: JsonDict = {"service_id": "backwash-coreio", "status": _COREIO}
COREIO_STARTED: JsonDict = COREIO | {
    "message": "CoreIO backwash-coreio was started",
    "config_path": _COREIO["config_path"],
}

_DEMO = "tep-demo-2025-09-04-001"
_OF_DEMO: JsonDict = {"config_path": "/etc/plant/tep.yaml", "since": "2025-09-04T09:00:00Z"}

DEMO: JsonDict = {
    "agent_id": _DEMO,
    "status": "running",
    "uptime_seconds": 5025.25,
    "ports": {"coreio": 5557, "corerl": 5558},
    "config": _OF_DEMO["config_path"],
    "service_statuses": {
        "corerl": _service(KindName.CORERL, _DEMO, 2304, **_OF_DEMO),
        "coreio": _service(KindName.COREIO, "tep-coreio", 2303, **_OF_DEMO),
        "uaserver": _service(KindName.UASERVER, _DEMO, 2301, **_OF_DEMO | {"config_path": None}),
        "tep": _service(KindName.TEP, _DEMO, 2302, **_OF_DEMO),
    },
}

MANAGER: JsonDict = {
    "status": "healthy",
    "process_id": 4700,
    "service": "coredinator",
    "version": __version__,
    "event_bus": {
        "status": "running",
        "config": {
            "xsub_addr": "tcp://*:5559",
            "xpub_addr": "tcp://*:5560",
            "publisher_endpoint": "tcp://localhost:5559",
            "subscriber_endpoint": "tcp://localhost:5560",
        },
    },
    "systemd": {"status": "connected", "scope": "system", "version": 257},
    "reasons": [],
}
