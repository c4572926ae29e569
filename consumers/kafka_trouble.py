"""Why no broker can be reached, where the reason is TLS or a password: with its mend.

The client library tries for ever and says only that time ran out; the reason is in what it notes.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from producers.connection import logger

_TELLS_WITHIN_S: Final = 2.0
"""A refused handshake is noted some milliseconds after the connection; a refused password is held
back by the broker for a moment (connection.failed.authentication.delay.ms, 100 ms)."""
_ANSWERS_WITHIN_S: Final = 0.5
_SETTING: Final = "COUNTERSIGN_KAFKA_"


def trouble(config: Mapping[str, Any]) -> str | None:
    """The reason in words, or None: not one of these. Connects once more to find out.

    config: librdkafka keys. Never raises.
    """
    if "security.protocol" not in config:
        return None
    noted: list[KafkaError] = []
    deadline = monotonic() + _TELLS_WITHIN_S
    with suppress(KafkaException):
        listening: dict[str, Any] = {**config, "error_cb": noted.append}
        client = AdminClient(listening, logger=logger)
        with suppress(KafkaException):
            client.list_topics(timeout=_ANSWERS_WITHIN_S)
            return None
        while monotonic() < deadline:
            client.poll(0.1)
            for error in noted:
                if (said := reason(error)) is not None:
                    return said
    return None


def reason(error: KafkaError) -> str | None:
    """What an error that the client library noted means; None: nothing about TLS or passwords."""
    text = error.str()
    match error.code():
        case KafkaError._SSL if "certificate verify failed" in text:
            if "mismatch" in text:
                mend = "name the brokers in COUNTERSIGN_BOOTSTRAP_SERVERS as their certificates do"
                return f"TLS: the broker's certificate is for another name; mend: {mend}"
            mend = f"set {_SETTING}SSL_CA_LOCATION to the CA that signed the brokers' certificates"
            return f"TLS: the broker's certificate is not trusted; mend: {mend}"
        case KafkaError._SSL:
            mend = f"see {_SETTING}SECURITY_PROTOCOL and {_SETTING}SSL_*"
            return f"TLS: no handshake ({text.partition(' (after ')[0]}); mend: {mend}"
        case KafkaError._AUTHENTICATION if "Unsupported SASL mechanism" in text:
            theirs = text.rpartition("mechanisms: ")[2].partition(" (after ")[0]
            return f"SASL: the broker speaks {theirs}; mend: {_SETTING}SASL_MECHANISM"
        case KafkaError._AUTHENTICATION:
            mend = f"see {_SETTING}SASL_USERNAME and {_SETTING}SASL_PASSWORD"
            return f"SASL: the broker does not accept these credentials; mend: {mend}"
        case _:
            return None
