"""Ways through a list that moves while it is read: by_page, by_offset, by_key, by_cursor; by_part over several lists.

A connector gives a function that fetches one page and yields from one of these. The end is what the list says it is
and, where it says nothing, an empty page; a short page is never the end.
"""

from onepipe.paging.chains import by_cursor, by_key, by_part
from onepipe.paging.positions import by_offset, by_page
from onepipe.records import Page, Token

__all__ = ["Page", "Token", "by_cursor", "by_key", "by_offset", "by_page", "by_part"]
