"""The search for the highest rate without loss."""

from math import sqrt
from statistics import median

_FIRST_STEP, _SMALLEST_STEP = 1.5, 1.05


class Staircase:
    """One step up after a trial that loses nothing, one down after one that does.

    Such a search settles where every other trial loses something (Levitt, "Transformed up-down methods
    in psychoacoustics", 1971), and one trial that was unlucky, or whose publishers were late, moves it by
    one step only. The steps become smaller at each turn. A rate is what the publishers really reached.
    """

    def __init__(self, start: float) -> None:
        self.asked = start
        self._step = _FIRST_STEP
        self._lost: bool | None = None
        self._reached: list[float] = []

    def note(self, reached: float, *, lost: bool) -> None:
        """Take in a trial at the rate that was asked for."""
        if self._lost not in {None, lost}:
            self._step = max(sqrt(self._step), _SMALLEST_STEP)
        self._lost = lost
        self._reached.append(reached)
        lower = self.asked / self._step
        self.asked = lower if lost else max(reached * self._step, lower)

    @property
    def rate(self) -> float:
        """The median of the trials after the first quarter, by which the search has settled."""
        return median(self._reached[len(self._reached) // 4 :])
