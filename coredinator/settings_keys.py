"""The keys of the settings file, for programs that read it without all that the manager needs."""

SETTINGS_KEYS = frozenset({
    "base-path", "cors-origin", "event-bus-host", "event-bus-pub-port", "event-bus-sub-port", "host", "kinds",
    "log-file", "log-level", "no-console", "port", "reload", "scope", "services", "stable-period", "state-dir",
})  # fmt: skip
