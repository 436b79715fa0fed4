"""Who looks on while a push works."""

import onepipe.report as report
from onepipe.push.words import Done, Item


class Watch(report.Watch):
    """Every method may be called from several threads; none has to be overridden."""

    def begins(self, items: int) -> None:
        """So many records have edits that wait."""

    def planned(self, item: Item) -> None:
        """A record was read and decided on."""

    def pushed(self, item: Done) -> None:
        """A record is done with, for this run."""
