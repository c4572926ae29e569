"""What every record model shares: strict, closed, immutable, bounded.

Limits stand here because they are the first thing untrusted bytes meet after decoding.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field


class Record(BaseModel):
    """A record of the wire. Unknown fields are refused; nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        allow_inf_nan=False,
        # A traceback must not repeat what a package says.
        hide_input_in_errors=True,
        # Only the journal has bytes; in JSON they are base64, for not all of them are UTF-8.
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )


def _utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError:  # year 1 east of Greenwich; pydantic reports only ValueError
        raise ValueError("outside the years 1 to 9999 in UTC") from None


Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:@-]{1,128}$")]
"""An identifier; it cannot contain `/`, so `tenant_id/decision_package_id` is unambiguous."""
Key = Annotated[str, Field(min_length=1, max_length=256)]
"""An opaque key chosen by its sender."""
Line = Annotated[str, Field(max_length=1024)]
"""One line of text for people."""
Text = Annotated[str, Field(max_length=65_536)]
"""Text for people, or JSON text; the value as a whole is at most 256 KiB."""
Timestamp = Annotated[AwareDatetime, AfterValidator(_utc)]
"""An instant in UTC with microseconds; RFC 3339 text in JSON, timestamp-micros in Avro."""
Lines = Annotated[list[Line], Field(max_length=256)]
Ids = Annotated[list[Id], Field(max_length=256)]
Count = Annotated[int, Field(ge=0, le=2**53 - 1)]
"""A number of things, or an offset; within I-JSON, so that its JSON form is exact."""
