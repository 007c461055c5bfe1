"""The daemon's own options, as they are when nothing else is said."""

from __future__ import annotations

DEFAULTS = {
    "name": "exampledriver",
    "root": "/var/lib/exampledriver/volumes",
    "state": "/var/lib/exampledriver/state",
    "runtime": "/run/exampledriver",
}
