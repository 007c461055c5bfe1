"""The administrator's side of the daemon: HTTP and JSON outside, :class:`IAdministration` inside.

It has a socket of its own, which engines are not told of and only root can open: what it
offers, such as bringing in any directory of the host, is not for them.
"""

from .app import AdminServer
from .interfaces import IAdministration, ICopying, Report

__all__ = ["AdminServer", "IAdministration", "ICopying", "Report"]
