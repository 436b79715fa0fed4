"""Keeping house: making files small again, backups and what comes back from them, and names of connections."""
