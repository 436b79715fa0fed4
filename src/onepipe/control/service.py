"""The tables of what the daemon is told and remembers; `orders` has the class over them."""

SERVICE: tuple[str, ...] = (
    """CREATE TABLE wish (connection TEXT PRIMARY KEY, at REAL NOT NULL, by TEXT NOT NULL) STRICT""",  # of run-now
    """CREATE TABLE pause (
        connection TEXT PRIMARY KEY, since REAL NOT NULL, by TEXT NOT NULL, why TEXT NOT NULL
    ) STRICT""",
    """CREATE TABLE breaker (
        connection TEXT PRIMARY KEY,
        failures INTEGER NOT NULL,  -- runs in a row that failed
        since REAL NOT NULL,        -- when the first of them ended
        until REAL NOT NULL,        -- the daemon makes no run of its own before
        kind TEXT NOT NULL, why TEXT NOT NULL, hint TEXT,
        fingerprint BLOB            -- of the credential that was refused; NULL: it was something else
    ) STRICT""",
    """CREATE TABLE turn (
        connection TEXT PRIMARY KEY,
        counted REAL,               -- up to when its due runs are made or counted in `passed`
        started REAL, ended REAL, succeeded REAL, status TEXT, error TEXT  -- JSON
    ) STRICT""",
    """CREATE TABLE passed (
        connection TEXT NOT NULL, why TEXT NOT NULL, times INTEGER NOT NULL, first REAL NOT NULL, last REAL NOT NULL,
        PRIMARY KEY (connection, why)
    ) STRICT, WITHOUT ROWID""",
    # Grows with every word of a person, so that a daemon that looks each second reads one number.
    """CREATE TABLE said (one INTEGER PRIMARY KEY CHECK (one = 1), number INTEGER NOT NULL) STRICT""",
    """INSERT INTO said VALUES (1, 0)""",
)
