"""All subjects, in the order in which they are measured."""

from benchmarks import (
    adoption,
    crash,
    event_bus,
    growth,
    idle,
    least,
    mirror_lag,
    starts,
    status_requests,
    stops,
)

ALL = (
    *starts.SUBJECTS,
    *stops.SUBJECTS,
    *least.SUBJECTS,
    *status_requests.SUBJECTS,
    *mirror_lag.SUBJECTS,
    *crash.SUBJECTS,
    *adoption.SUBJECTS,
    *idle.SUBJECTS,
    *event_bus.SUBJECTS,
    *growth.SUBJECTS,
)

FIGURES = tuple(figure.key for subject in ALL for figure in subject.figures)
