"""Which web pages may use the API."""

import socket
from collections.abc import Sequence

import httpx
import pytest
from fastapi.responses import PlainTextResponse

from coredinator.web.middleware import OriginGuard


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a name of its own, which asks no DNS."""

    def looks_up(*_: object) -> None:
        raise AssertionError("a name was looked up")

    monkeypatch.setattr(socket, "gethostname", lambda: "Reactor.plant.example")
    monkeypatch.setattr(socket, "getaddrinfo", looks_up)
    monkeypatch.setattr(socket, "gethostbyname", looks_up)


async def answer(origin: str, host: str, allowed: Sequence[str] = ()) -> httpx.Response:
    guard = OriginGuard(PlainTextResponse("done"), allowed, "API.plant.example")
    async with httpx.AsyncClient(transport=httpx.ASGITransport(guard), base_url="http://served") as client:
        return await client.post("/", headers={"Origin": origin, "Host": host})


@pytest.mark.parametrize(
    "name",
    [
        "127.0.0.1", "192.0.2.7", "[::1]", "[2001:db8::7]", "localhost", "coredinator.localhost",
        "reactor", "reactor.local", "reactor.plant.example", "api.plant.example",
    ],
)  # fmt: skip
@pytest.mark.parametrize("port", ["", ":7000"])
async def test_a_page_of_this_machine_may(name: str, port: str) -> None:
    assert (await answer(f"http://{name}{port}", f"{name}{port}")).status_code == 200


@pytest.mark.parametrize(
    "name",
    [
        "evil.example", "localhost.evil.example", "notlocalhost", "127.0.0.1.evil.example", "reactor.evil.example",
        "evil.local", "plant.example", "",
    ],
)  # fmt: skip
async def test_a_page_whose_name_was_pointed_at_this_machine_may_not_unless_it_is_allowed(name: str) -> None:
    host = f"{name}:7000"
    refused = await answer(f"http://{host}", host)
    assert refused.status_code == 403
    assert f"--cors-origin http://{host}" in refused.json()["detail"]
    assert (await answer(f"http://{host}", host, [f"http://{host}"])).status_code == 200


async def test_a_page_of_another_port_or_name_of_this_machine_may_not() -> None:
    assert (await answer("http://127.0.0.1:8000", "127.0.0.1:7000")).status_code == 403
    assert (await answer("http://localhost:7000", "127.0.0.1:7000")).status_code == 403
