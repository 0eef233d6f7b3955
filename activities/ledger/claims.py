"""Claims: what waits in the inbox is given to one deliverer at a time, for a while.

A claim that has run out is void: its deliverer died.  So is one that reaches further into the future
than any deliverer asks for: then a clock has been put back since, and without this rule what was
claimed before would wait for as long as the clock was wrong.  Both are safe, because whatever is
delivered twice is taken in once.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, bindparam, or_

from activities.ledger.schema import inbox

IS_FREE: ColumnElement[bool] = or_(
    inbox.c.claimed_until.is_(None),
    inbox.c.claimed_until < bindparam("at"),
    inbox.c.claimed_until > bindparam("latest"),
)
"""Whether nobody has a claim; to be asked with `moments`."""


def moments(at: datetime, hold: timedelta) -> dict[str, datetime]:
    """Return what `IS_FREE` has to know, for deliverers that claim for `hold`.

    The clocks of two machines may differ by as much as that, without one taking from the other.
    """
    return {"at": at, "latest": at + 2 * hold}
