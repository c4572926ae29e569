"""A Confluent-compatible schema registry behind the codec's `SchemaIds`.

The client is an extra (`countersign[registry]`): only who sets COUNTERSIGN_SCHEMA_REGISTRY_URL
needs it, so it is imported there and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from schemas.codec import RegistryUnavailable

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import SchemaRegistryClient

_TIMEOUT_S: Final = 5
_SCHEMAS_CACHED_MAX: Final = 1024
"""Ids come from untrusted bytes; what they find is remembered up to here."""
_HTTP_NOT_FOUND: Final = 404


class RegistryClientMissing(Exception):
    """The setting asks for a registry and the client is not installed."""

    def __init__(self) -> None:
        super().__init__(
            "COUNTERSIGN_SCHEMA_REGISTRY_URL needs the client: pip install 'countersign[registry]'"
        )


class ConfluentRegistry:
    """Registers our schemas under TopicRecordName (`<topic>-<record>`) and looks ids up, each
    once. Every failure but "no such id" is RegistryUnavailable: the registry may be mended."""

    def __init__(self, url: str, *, topic_prefix: str = "") -> None:
        """Raises RegistryClientMissing, or ValueError for a URL that is none. Connects later."""
        self._client = _client(url)
        self._topic_prefix = topic_prefix
        self._ids: dict[tuple[str, str], int] = {}
        self._schemas: dict[int, str] = {}

    def schema_id(self, topic: str, schema_name: str, schema: str) -> int:
        """See SchemaIds."""
        known = self._ids.get((topic, schema_name))
        if known is not None:
            return known
        from confluent_kafka.schema_registry import Schema

        subject = f"{self._topic_prefix}{topic}-{schema_name}"
        try:
            found = self._client.register_schema(subject, Schema(schema, "AVRO"))
        except Exception as error:
            raise _unavailable(error) from error
        self._ids[topic, schema_name] = found
        return found

    def schema(self, schema_id: int) -> str | None:
        """See SchemaIds."""
        known = self._schemas.get(schema_id)
        if known is not None:
            return known
        from confluent_kafka.schema_registry.error import SchemaRegistryError

        try:
            text = self._client.get_schema(schema_id).schema_str
        except SchemaRegistryError as error:
            if error.http_status_code == _HTTP_NOT_FOUND:
                return None
            raise _unavailable(error) from error
        except Exception as error:
            raise _unavailable(error) from error
        if text is None:
            return None
        if len(self._schemas) >= _SCHEMAS_CACHED_MAX:
            self._schemas.clear()
        self._schemas[schema_id] = text
        return text


def _client(url: str) -> SchemaRegistryClient:
    try:
        from confluent_kafka.schema_registry import SchemaRegistryClient
    except ImportError:
        raise RegistryClientMissing from None
    # One try each: the worker's own loop waits and tries again, and stays alive meanwhile.
    return SchemaRegistryClient({"url": url, "timeout": _TIMEOUT_S, "max.retries": 0})


def _unavailable(error: Exception) -> RegistryUnavailable:
    # The type only: the text may carry the URL with its password.
    return RegistryUnavailable(f"the schema registry did not answer ({type(error).__name__})")
