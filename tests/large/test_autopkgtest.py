"""The package's own test (debian/tests), as autopkgtest runs it."""

import pytest

from tests.conftest import ROOT
from tests.large.debian_host import DebianHost

pytestmark = pytest.mark.timeout(300)


def test_smoke_test_of_the_package_passes(host: DebianHost) -> None:
    host.write("/root/smoke", (ROOT / "debian" / "tests" / "smoke").read_text(), 0o755)
    host.run("/root/smoke")
