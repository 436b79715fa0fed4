"""The daemon: every connection on its schedule, the snapshot soon after a change, a clean end on SIGTERM or SIGINT.

`loop` goes round and takes what happens in its turn; `desk` decides who runs, by the `timetable` and by what became of
the runs before (`after`, `breaker`); `runs` makes one, `publishing` puts the snapshot in place; `onlooker` is how all
of that is told to those who watch. Of APScheduler only the triggers are used (decision 0020).
"""

from onepipe.daemon.loop import Daemon
from onepipe.daemon.onlooker import Event, Line, Onlooker, State

__all__ = ["Daemon", "Event", "Line", "Onlooker", "State"]
