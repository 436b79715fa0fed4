"""The tables of those who were erased; `markers` works on them, `veil` holds what is written against them."""

ERASED: tuple[str, ...] = (
    """CREATE TABLE erased (
        erasure_id TEXT PRIMARY KEY,
        connection TEXT,                -- NULL: every one
        source_id TEXT,                 -- the deal; NULL: whoever has the address
        fingerprint BLOB,               -- of the address, keyed; NULL: a deal
        cause TEXT,                     -- the erasure of an address that a deal was found by
        erased_at TEXT NOT NULL, actor TEXT NOT NULL, reason TEXT NOT NULL,
        done_at TEXT,                   -- NULL: begun, and not yet everywhere
        change INTEGER NOT NULL         -- grows with every change to any
    ) STRICT""",
    """CREATE UNIQUE INDEX erased_once
        ON erased (coalesce(connection, ''), coalesce(source_id, ''), coalesce(fingerprint, x''))""",
    # How a connection's records are read by the mapping in use: what stays of a deal, and where its people stand.
    "CREATE TABLE erased_kept (connection TEXT PRIMARY KEY, kept TEXT NOT NULL) STRICT",
)
