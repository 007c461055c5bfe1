"""docs/helper/comparison.md: every name that it says is here is here."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

#: Classes whose fields are another one's, or that Go's helper lacks as a whole.
UNLISTED = {"AuthzRequest", "Endpoint", "GwAllocCheck", "GatewayAllocation"}
PAGE = Path(__file__).parents[2] / "docs/helper/comparison.md"


def exists(name: str) -> bool:
    """Tell whether ``module.Name`` or ``module.Name.member`` is there."""
    module, *path = name.split(".")
    found: object = import_module(f"exampledriver.plugin.{module}")
    for word in path:
        if isinstance(found, InterfaceClass):
            return word in found
        if isinstance(found, type) and attrs.has(found) and word in attrs.fields_dict(found):
            return True
        if not hasattr(found, word):
            return False
        found = getattr(found, word)
    return True


class ComparisonTests(SynchronousTestCase):
    """The table."""

    def test_names(self) -> None:
        """Every name of the right column is one of the helper's."""
        rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if " | " in line]
        found = [
            name
            for row in rows
            for name in re.findall(r"`([a-z]+\.[A-Za-z_]\w*(?:\.\w+)*)`", row[-1])
            if name.split(".")[0] != "exampledriver"
        ]
        self.assertGreater(len(found), 120)
        self.assertEqual([name for name in found if not exists(name)], [])

    def test_fields(self) -> None:
        """The table has every field of our messages, for those protocols that Go's helper has."""
        text = PAGE.read_text()
        missing = []
        for module in ("authz", "ipam", "network", "secret", "volume"):
            own = (f"exampledriver.plugin.{module}", f"exampledriver.plugin.{module}_messages")
            for cls in vars(import_module(own[0])).values():
                if isinstance(cls, type) and attrs.has(cls) and cls.__module__ in own:
                    rows = [f"`{module}.{cls.__name__}.{n}`" for n in attrs.fields_dict(cls)]
                    if cls.__name__ not in UNLISTED:
                        missing += [row for row in rows if "._" not in row and row not in text]
        self.assertEqual(missing, [])
