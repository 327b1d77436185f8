"""Quick copies are those that `dataclasses.replace` makes."""

import dataclasses
from copy import replace

import pytest

from coredinator.service.identity import Identity
from coredinator.service.record import ServiceRecord
from coredinator.service.state import Intent, Observation, State
from coredinator.services import KindName
from coredinator.systemd import UnitProperties

RECORD = ServiceRecord(Identity(KindName.CORERL, "backwash"), "backwash", "/etc/x.yaml", Intent.RUNNING)
OBSERVED = Observation(State.RUNNING, main_pid=7)
UNIT = UnitProperties("coredinator-agent@backwash.service", main_pid=7)


@pytest.mark.parametrize(
    ("original", "news"),
    [
        (RECORD, {"error": "no", "observed": OBSERVED}),
        (OBSERVED, {"main_pid": None}),
        (UNIT, {"result": "signal", "job": (3, "/job/3")}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_quick_copy_is_the_usual_one(original: ServiceRecord, news: dict[str, object]) -> None:
    # dataclasses.replace takes no notice of __replace__.
    assert replace(original, **news) == dataclasses.replace(original, **news) != original


def test_a_field_that_there_is_not_is_refused() -> None:
    with pytest.raises(KeyError, match="colour"):
        replace(RECORD, colour="red")
