"""Instants on their way in and out of DuckDB: as text, since fetching a TIMESTAMPTZ needs pytz."""

from datetime import UTC, datetime


def iso(column: str) -> str:
    """A TIMESTAMPTZ as text: reading one into Python needs pytz."""
    return f"strftime({column}, '%Y-%m-%dT%H:%M:%S.%f')"


def moment(text: str | None) -> datetime | None:
    """What `iso` answers as an aware datetime in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None


def as_text(instant: datetime | None) -> str | None:
    """An aware datetime as ISO text."""
    return instant.isoformat() if instant else None
