"""A fake of the Example CRM for `onepipe connectors test connectors/example.py`: as like the real one as you can tell.

`row` is the number-th opportunity as the CRM prints it, with `text` in every field that a user types; `serve` is what
the CRM answers to a request: a status and a body. Errors, floods, broken and repeated pages are added by the suite.
"""


def row(number, text):
    return {
        "id": number,
        "title": text,
        "value": "1250.00",
        "currency": "GBP",
        "stage": "Proposal",
        "owner": {"id": 7, "name": text},
        "created_at": "2024-02-01T09:00:00Z",
        "updated_at": "2024-03-01T10:00:05Z",
    }


def serve(rows, asked, cap=None):
    if asked.path == "/deals":
        start, limit = int(asked.query.get("offset", 0)), min(int(asked.query.get("limit", 50)), cap or 100)
        changed = [row for row in rows if row["updated_at"] >= asked.query.get("updated_since", "")]
        return 200, {"data": changed[start : start + limit], "total": len(changed)}
    found = [row for row in rows if asked.path == f"/deals/{row['id']}"]
    return (200, found[0]) if found else (404, {"error": "not found"})
