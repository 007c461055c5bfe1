"""docs/helper/comparison.md: every name that it says is here is here."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import attrs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.interface import InterfaceClass

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
