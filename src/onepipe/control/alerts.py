"""The tables of who was told of what; `notices` works on them."""

ALERTS: tuple[str, ...] = (
    """CREATE TABLE alert (
        event TEXT NOT NULL,
        connection TEXT NOT NULL,  -- '' for the whole project
        what TEXT NOT NULL,        -- which of several: a field, a conflict; else ''
        since REAL NOT NULL,
        times INTEGER NOT NULL,
        told_at REAL,              -- NULL: nobody was told yet
        body TEXT NOT NULL,        -- the event as JSON, as it was met last
        PRIMARY KEY (event, connection, what)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE alert_message (
        id TEXT NOT NULL,
        way TEXT NOT NULL,         -- a digest of the command or address, which may hold a secret
        body TEXT NOT NULL,
        tries INTEGER NOT NULL,
        next_at REAL NOT NULL,
        PRIMARY KEY (id, way)
    ) STRICT""",
    "CREATE TABLE alert_mark (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT",
    "CREATE TABLE volume (connection TEXT PRIMARY KEY, seen TEXT NOT NULL) STRICT",
)
