"""One MESSAGE_ID per kind of event, as the journal catalog explains them (journalctl -x).

The values are random 128-bit ids (`systemd-id128 new`) and never change.
"""

from enum import StrEnum


class MessageId(StrEnum):
    """Identifies a kind of log message for `journalctl MESSAGE_ID=` and the catalog."""

    MANAGER_READY = "d578bd926dd94c85ab5db0d8a07b331f"
    SERVICE_STARTING = "ea79e973f442499c9bd0743cea88e907"
    SERVICE_STARTED = "e3c03eaae22b41faaec48e60bf1de5b5"
    SERVICE_STOPPING = "2d613b85b0c947edbe88cecddeba03f4"
    SERVICE_STOPPED = "6baa62a319fd4ed08f82f13852a4f3dd"
    SERVICE_FAILED = "e6d4880a453247c487bebd67a2665bc2"
    START_IMPOSSIBLE = "3ab051592c0b4e2b947064137a54c486"
    SERVICE_ADOPTED = "068bfc1fe309450e9428ef4a1cf2aadf"
    SERVICE_RECOVERED = "148b6cba91244b80bb45df74b94e26a8"
    OPERATOR_STARTED = "ca382174ea6b4cf38bdcbe3fd70119c4"
    OPERATOR_STOPPED = "7d2fc9579a824e39af3b4e9f341f680e"
    BACKOFF_RESET = "9f6c13c3958d42a08d171ac65296b99b"
    HEALTH_FAILED = "5098f97fe7f246f2beb18cb69401a5c1"
    HEALTH_UNKNOWN = "7be57ad2633a407d8f9ec43bfc0105a8"
    UPGRADING = "aad2848b74eb42ac88a2121b93a41422"
    UPGRADED = "72d5e2b40cf64f6d8768783179a084ba"
    UPGRADE_FAILED = "99774345330345688abcac2643fd1360"
    ROLLED_BACK = "ff5861a7c712427489b4d54978e5bccb"
    SYSTEMD_LOST = "d21c851d099141b5be0cecbb1e62524b"
    SYSTEMD_FOUND = "b3549c5d3ea24cdca56b46baa486ff30"
    EVENT_BUS_DOWN = "be6ac885de0642e1afd86ddde49ad40d"
    EVENT_BUS_UP = "bde7d9fb188b4245942dedde68a23e72"
    DATABASE_DAMAGED = "d6670790c35d4597aa3df912463407f0"
    DATABASE_UNWRITABLE = "ee038cfdbd9b4e7c9bdae5d0d4b5cfba"
    DATABASE_WRITABLE = "428d90ae6c3046219329f98bce20782f"
