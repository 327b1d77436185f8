"""Requests made out of an OpenAPI document, and what is answered held against the same document."""

import subprocess
import sys
from pathlib import Path

EXAMPLE = "/etc/plant/backwash.yaml"
"""The config in the document's examples; where it exists they start agents."""

# A config must exist and be YAML (400), and an id must fit a unit's name once it is escaped (422): no schema can say
# either, so these are fair answers to requests that fit the schema. What is deleted need not be 404 afterwards: a
# service that is declared is there again as new, and an agent of which nothing is known is a stopped one.
CONFIG = r"""
[checks.positive_data_acceptance]
expected-statuses = ["2xx", "400", "404", "409", "422"]

[[operations]]
include-path-regex = '^/api/(services/|agents/\{agent_id\}/(status|history)$)'
[operations.checks.use_after_free]
enabled = false
"""


def assert_answers_as_documented(document: str, url: str, folder: Path, *flags: str) -> None:
    """Ask every operation many things, with all of schemathesis's checks unless `flags` say otherwise."""
    # The generator drops the texts that no path can hold; with bad luck those are most of what it makes. A virtual
    # machine may stand still for longer than the 10 s for which each answer is waited for otherwise. One worker asks:
    # two would share Python's lock, also between a request's head and its body.
    schema, config = folder / "openapi.json", folder / "schemathesis.toml"
    schema.write_text(document)
    config.write_text(CONFIG)
    done = subprocess.run(
        [sys.executable, "-m", "schemathesis.cli", "--config-file", config, "run", schema,
         "--url", url, "--warnings", "off", "--suppress-health-check", "filter_too_much",
         "--request-timeout", "60", *flags],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
