"""Ways to spoil an answer: refusals, disguises, broken bodies, lists that repeat themselves."""

from collections import defaultdict

from onepipe.contract.hostile import Spoil
from onepipe.contract.rig import Asked, Told

HTML = {"Content-Type": "text/html"}
JSON = {"Content-Type": "application/json"}
LOGIN = b"<!DOCTYPE html><html><head><title>Please log in</title></head><body><form>Password</form></body></html>"
DOWN = b"<html><head><title>Down for maintenance</title></head><body>We will be back soon.</body></html>"
NOT_DATA = {
    "an error envelope": b'{"status": "error", "messages": ["Something broke"]}',
    "success: false": b'{"success": false, "message": "Something broke"}',
    "an empty object": b"{}",
    "null": b"null",
    "a text": b'"nothing"',
    "a number": b"0",
    "no body": b"",
    "half an envelope": b'{"data": [{"id": 1, "na',
    "an XML error": b'<?xml version="1.0"?><error><message>Something broke</message></error>',
    "plain words": b"Internal error, please try again",
}


def always(status: int, body: bytes = b'{"message": "no"}', headers: dict[str, str] | None = None) -> Spoil:
    """The same answer to everything."""
    return lambda _asked, _told: Told(status, body, headers or JSON)


def cut(_: Asked, told: Told) -> Told:
    """Half of the body, with the length of the whole announced."""
    return Told(told.status, told.body, told.headers, cut=True)


def halved(_: Asked, told: Told) -> Told:
    """Half of the body, with a length that agrees."""
    return Told(told.status, told.body[: len(told.body) // 2], told.headers)


def redirected(_asked: Asked, _told: Told) -> Told:
    """A redirect to another host."""
    return Told(302, b"", {"Location": "http://elsewhere.invalid/login"})


def frozen() -> Spoil:
    """Each path answers what it answered first, for ever."""
    first: dict[str, Told] = {}
    return lambda asked, told: first.setdefault(asked.path, told)


def cycle() -> Spoil:
    """Each path answers its first two answers in turn, for ever."""
    kept: dict[str, list[Told]] = defaultdict(list)
    turns: dict[str, int] = defaultdict(int)

    def spoil(asked: Asked, told: Told) -> Told:
        answers = kept[asked.path]
        if len(answers) < 2:
            answers.append(told)
            return told
        turns[asked.path] += 1
        return answers[(turns[asked.path] + 1) % 2]

    return spoil


def once(spoil: Spoil) -> Spoil:
    """Spoils the first answer to each different request."""
    met: set[str] = set()

    def first(asked: Asked, told: Told) -> Told:
        request = f"{asked.path}?{asked.raw_query}"
        if request in met:
            return told
        met.add(request)
        return spoil(asked, told)

    return first


def lists_only(spoil: Spoil, skip: int) -> Spoil:
    """Spoils a path's answers only after its first `skip` different requests."""
    met: dict[str, list[str]] = defaultdict(list)

    def later(asked: Asked, told: Told) -> Told:
        seen = met[asked.path]
        if asked.raw_query not in seen:
            seen.append(asked.raw_query)
        return told if seen.index(asked.raw_query) < skip else spoil(asked, told)

    return later
