"""The proxy: XSUB for publishers, XPUB for subscribers, `zmq.proxy` between them.

Messages never touch Python. The proxy runs in a thread; the main thread tells systemd that the bus
is ready and, as long as it really forwards, that it is alive.
"""

import argparse
import contextlib
import errno
import os
import signal
import threading
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn, cast

import zmq
from systemd import daemon

from coredinator.errors import SettingsError
from coredinator.event_bus.addresses import BusAddresses
from coredinator.settings_file import read_settings
from coredinator.utils.command_line import die

REASONED_EXITS = {os.EX_CONFIG, os.EX_UNAVAILABLE}
"""Exit codes of a proxy whose status text says why it cannot run."""

MESSAGE_LIMIT = 256 * 1024
"""Bytes of a frame that a publisher may send; up to a thousand messages wait for each slow subscriber."""
TOPIC_LIMIT = 1024
"""Bytes of a topic that can be subscribed to. libzmq makes a tree of topics, a level a byte, and recurses in it:
one topic of 200 kB overruns its stack."""
_SUBSCRIBE = 10
"""Bytes before the topic in the frame that subscribes to it (SUBSCRIBE in rfc.zeromq.org/spec/37)."""
_HANDSHAKE_TIMEOUT_MS = 5000
_QUEUE = 1024
_LAST_PORT = 65535
_ENDING = {signal.SIGTERM, signal.SIGINT}
_PROBE_PUBLISHERS = "inproc://probe-publishers"
_PROBE_SUBSCRIBERS = "inproc://probe-subscribers"
_KEYS = {"event-bus-host": "host", "event-bus-pub-port": "pub_port", "event-bus-sub-port": "sub_port"}
_DEFAULTS: dict[str, object] = {"host": "*", "pub_port": 5559, "sub_port": 5560}


class PortUnavailable(Exception):
    """An address of the bus cannot be bound."""


class Proxy:
    """The two sockets and the thread between them. Raises PortUnavailable if a port is taken."""

    def __init__(self, addresses: BusAddresses) -> None:
        self._context = zmq.Context()
        try:
            self._front = self._bind(zmq.XSUB, addresses.xsub_addr, addresses.pub_port, _PROBE_PUBLISHERS)
            self._back = self._bind(zmq.XPUB, addresses.xpub_addr, addresses.sub_port, _PROBE_SUBSCRIBERS)
        except PortUnavailable:
            self._context.destroy()
            raise
        self._thread = threading.Thread(target=self._run, name="proxy", daemon=True)

    def start(self) -> "Probe":
        """Forward from now on; the answer is a probe that tells whether it does."""
        probe = Probe(self._context)
        self._thread.start()
        return probe

    def _bind(self, kind: int, address: str, port: int, probe: str) -> zmq.Socket[bytes]:
        bound = self._context.socket(kind)
        bound.setsockopt(zmq.LINGER, 0)
        # A peer that sends a longer frame, or greets too slowly, is disconnected.
        bound.setsockopt(zmq.MAXMSGSIZE, MESSAGE_LIMIT if kind == zmq.XSUB else TOPIC_LIMIT + _SUBSCRIBE)
        bound.setsockopt(zmq.HANDSHAKE_IVL, _HANDSHAKE_TIMEOUT_MS)
        bound.setsockopt(zmq.BACKLOG, _QUEUE)
        if kind == zmq.XSUB:
            # All that it sends is subscriptions. A publisher that misses one never sends what it is for,
            # and the probe would miss its own among many of others.
            bound.setsockopt(zmq.SNDHWM, 0)
        # "*" means every interface of both families; libzmq falls back to IPv4 on a kernel without IPv6.
        bound.setsockopt(zmq.IPV6, 1 if "*" in address or "[" in address else 0)
        try:
            bound.bind(address)
        except zmq.ZMQError as error:
            number = error.errno or 0
            raise PortUnavailable(f"cannot bind {address}: {zmq.strerror(number)}; {_remedy(number, port)}") from error
        bound.bind(probe)
        return bound

    def close(self) -> None:
        """End the thread; messages on their way are dropped."""
        self._context.term()
        self._thread.join()

    def _run(self) -> None:
        with self._front, self._back, contextlib.suppress(zmq.ContextTerminated):
            zmq.proxy(self._front, self._back)


class Probe:
    """Asks the proxy for a sign of life that no subscriber ever sees.

    Subscriptions travel from XPUB through the proxy to XSUB and on to every publisher: the probe
    subscribes to a topic that nobody uses and waits for that subscription at a publishing end.
    """

    def __init__(self, context: zmq.Context[zmq.Socket[bytes]]) -> None:
        self._context = context
        self._subscriber = context.socket(zmq.SUB)
        self._subscriber.connect(_PROBE_SUBSCRIBERS)

    def forwards(self, timeout: float) -> bool:
        """Whether subscriptions still come through; False if none does for `timeout` seconds.

        On a bus that is flooded with subscriptions those of others count once the time is over: the
        probe's own waits behind them, but what a new publisher is sent is sent by a proxy that lives.
        """
        deadline = time.monotonic() + timeout
        topic = b"coredinator.probe." + uuid.uuid4().hex.encode()
        self._subscriber.subscribe(topic)
        # New each time: one that stays would be sent what everybody subscribes to, and pile it up between the probes.
        with self._context.socket(zmq.XPUB) as publisher:
            publisher.connect(_PROBE_PUBLISHERS)
            try:
                while publisher.poll(int(timeout * 1000)):
                    if publisher.recv()[1:] == topic or time.monotonic() > deadline:
                        return True
                return False
            finally:
                self._subscriber.unsubscribe(topic)

    def close(self) -> None:
        """Close the probe's socket."""
        self._subscriber.close(linger=0)


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line of the event bus; ends with one line and a non-zero code if it cannot run."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        addresses = parse_addresses(arguments)
        proxy = Proxy(addresses)
    except SettingsError as error:
        _die(str(error), os.EX_CONFIG)
    except PortUnavailable as error:
        _die(str(error), os.EX_UNAVAILABLE)
    else:
        probe = proxy.start()
        daemon.notify(f"READY=1\nSTATUS=Forwarding from {addresses.xsub_addr} to {addresses.xpub_addr}")
        _watch(probe)
        daemon.notify("STOPPING=1")
        probe.close()
        proxy.close()


def parse_addresses(arguments: Sequence[str] | None) -> BusAddresses:
    """Read the flags, and the manager's settings file if one is given; flags win.

    Other keys of the file are the manager's. Raises SettingsError, also for one that nobody knows.
    """
    flags = vars(_parser().parse_args(arguments))
    values = dict(_DEFAULTS)
    if (file := flags.pop("config", None)) is not None:
        settings, findings = read_settings(file)
        if findings:
            # Meant for the bus, perhaps, which would be open to all by itself.
            raise SettingsError(*findings)
        values |= {name: settings[key] for key, name in _KEYS.items() if key in settings}
    values |= flags
    host, pub_port, sub_port = values["host"], values["pub_port"], values["sub_port"]
    if not isinstance(host, str) or not host:
        raise SettingsError(f"event bus host {host!r} is not an address; use *, a name or an IP address")
    for port in (pub_port, sub_port):
        if not isinstance(port, int) or isinstance(port, bool) or not 1 <= port <= _LAST_PORT:
            raise SettingsError(f"event bus port {port!r} is not a port; use a number from 1 to 65535")
    if pub_port == sub_port:
        raise SettingsError(f"publishers and subscribers cannot share port {pub_port}; give each one of its own")
    return BusAddresses(host, cast("int", pub_port), cast("int", sub_port))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="coredinator-eventbus",
        description="Forwards messages between the publishers and subscribers of Coredinator's event bus.",
        argument_default=argparse.SUPPRESS,
        allow_abbrev=False,
    )
    parser.add_argument("--config", type=Path, metavar="FILE", help="coredinator's settings file; flags win")
    parser.add_argument("--host", metavar="ADDRESS", help="address to bind (default *, all interfaces)")
    parser.add_argument("--pub-port", type=int, metavar="PORT", help="port for publishers (default 5559)")
    parser.add_argument("--sub-port", type=int, metavar="PORT", help="port for subscribers (default 5560)")
    return parser


def _watch(probe: Probe) -> None:
    """Feed systemd's watchdog while the proxy forwards; return when the process is to end.

    A probe every quarter of the watchdog's time: one that a busy machine delays has a second chance.
    """
    interval = int(os.environ.get("WATCHDOG_USEC", "0")) / 4_000_000
    if not interval:
        signal.sigwait(_ENDING)
        return
    while signal.sigtimedwait(_ENDING, interval) is None:
        if probe.forwards(interval / 2):
            daemon.notify("WATCHDOG=1")


def _remedy(number: int, port: int) -> str:
    match number:
        case errno.EADDRINUSE:
            return f"end what uses port {port}, or set another one"
        case errno.EACCES:
            return f"port {port} needs CAP_NET_BIND_SERVICE; set one above 1023"
        case _:
            return "set the host to * or to an address of this machine"


def _die(message: str, code: int) -> NoReturn:
    # A line is an assignment to systemd (sd_notify(3)), and what YAML or an address is wrong about may have several.
    message = " ".join(message.split())
    # systemd keeps the status text until the next start: there the manager finds the reason.
    daemon.notify(f"STATUS={message}")
    die("coredinator-eventbus", message, code)
