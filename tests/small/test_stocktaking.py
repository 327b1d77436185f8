"""When what is loaded counts as known."""

from unittest.mock import AsyncMock, Mock

import pytest

from coredinator.service import stocktaking as module
from coredinator.service.registry import Registry
from coredinator.service.stocktaking import Stocktaking
from coredinator.service.units import UnitCache
from coredinator.systemd import SystemdUnavailable


@pytest.fixture
def units() -> Mock:
    return Mock(UnitCache, list=AsyncMock(return_value={}), names=Mock(return_value=set()))


@pytest.fixture
def stocktaking(units: Mock) -> Stocktaking:
    registry = Mock(Registry, all=Mock(return_value=[]))
    return Stocktaking(registry, units, Mock(), Mock(), AsyncMock(), Mock())


async def test_nothing_is_known_before_the_first_look_and_after_systemd_has_gone(
    stocktaking: Stocktaking, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_PATIENCE", 0.01)
    with pytest.raises(SystemdUnavailable):
        await stocktaking.wait_current()
    await stocktaking.take(fresh=False)
    await stocktaking.wait_current()
    stocktaking.outdate()
    with pytest.raises(SystemdUnavailable):
        await stocktaking.wait_current()


async def test_a_look_at_a_systemd_that_goes_meanwhile_does_not_count(stocktaking: Stocktaking, units: Mock) -> None:
    units.list.side_effect = lambda: stocktaking.outdate() or {}
    await stocktaking.take(fresh=False)
    assert not stocktaking.is_current
    units.list.side_effect = None
    await stocktaking.take(fresh=False)
    assert stocktaking.is_current
