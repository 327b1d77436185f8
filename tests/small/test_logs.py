"""Log records as the journal and the console get them."""

import logging
import re
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from coredinator.logs import MessageId
from coredinator.logs.journal import fields_of
from coredinator.logs.setup import on_one_line

ROOT = Path(__file__).parent.parent.parent


def test_message_ids_are_all_different_and_well_formed() -> None:
    values = [message.value for message in MessageId]
    assert len(set(values)) == len(values)
    assert all(re.fullmatch(r"[0-9a-f]{32}", value) for value in values)


def test_each_message_is_sent_somewhere_and_explained_in_the_catalog() -> None:
    source = "".join(path.read_text() for path in (ROOT / "coredinator").rglob("*.py"))
    catalog = (ROOT / "packaging/catalog/coredinator.catalog").read_text()
    assert [message.name for message in MessageId if f"MessageId.{message.name}" not in source] == []
    assert [message.name for message in MessageId if f"-- {message.value}\n" not in catalog] == []


def test_the_journal_gets_coredinators_fields_and_no_others() -> None:
    record = logging.makeLogRecord(
        {
            "msg": "x",
            "agent_id": "backwash",
            "unit": "coredinator-agent@backwash.service",
            "message_id": MessageId.SERVICE_STARTED,
            "cause": None,
            "password": "secret",
        }
    )
    assert fields_of(record) == {
        "COREDINATOR_AGENT": "backwash",
        "COREDINATOR_UNIT": "coredinator-agent@backwash.service",
        "MESSAGE_ID": MessageId.SERVICE_STARTED.value,
    }


@given(st.text(st.characters(exclude_categories=())))
def test_a_message_is_one_line_that_can_be_written(name: str) -> None:
    record = logging.makeLogRecord({"msg": "no service %s; list them", "args": (name,)})
    line = on_one_line(record).getMessage()
    assert line.startswith("no service ")
    assert line.endswith("; list them")
    assert line.isprintable()
    assert line.encode()
    if name.isprintable():
        assert line == f"no service {name}; list them"
