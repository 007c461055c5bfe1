"""What Gets are answered: kept for as long as it says nothing else.

An engine asks for the same volumes again and again. To put the same together and to write it as
JSON each time would take longer than all the rest.
"""

from __future__ import annotations

from collections.abc import Mapping

from attrs import define, field, frozen

from ..plugin.volume import Volume
from .health import HealthChecks, Look
from .listing import status_of
from .model import StoredVolume

#: How many answers are kept.
_MOST = 1024


@frozen
class _Kept:
    """An answer, and what it was made of.

    :ivar since: from when until when it tells the look's age, in the clock's seconds.
    """

    volume: StoredVolume
    counts: Mapping[str, int]
    look: Look
    since: float
    until: float
    answer: Volume


@define(eq=False)
class Answers:
    """The last answers to Gets."""

    _health: HealthChecks
    _kept: dict[str, _Kept] = field(factory=dict, init=False)

    def of(self, volume: StoredVolume, counts: Mapping[str, int]) -> Volume:
        """Return a volume as it is now, with what is known of its health.

        Whatever changes is another object then: nobody needs to say that it has changed.
        """
        name = volume.name
        look = self._health.last(name)
        now = self._health.now()
        kept = self._kept.get(name)
        if (
            kept is not None
            and kept.look is look
            and kept.counts is counts
            and kept.volume is volume
            and kept.since <= now < kept.until
        ):
            return kept.answer
        status = status_of(volume, counts)
        status.update(self._health.status(volume, counts))
        answer = Volume(name, volume.mountpoint, volume.created, status)
        # While a mounted volume's holders are not known, each Get asks for a look.
        if look is self._health.last(name) and look and not (counts and look.holders is None):
            if len(self._kept) >= _MOST:
                self._kept.clear()
            since = look.at + int(now - look.at)
            self._kept[name] = _Kept(volume, counts, look, since, since + 1.0, answer)
        return answer
