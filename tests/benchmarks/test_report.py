"""Figures, tables and plots of samples."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from benchmarks.figures import FIGURES, Figure
from benchmarks.report import table, write_docs


class FigureTests(SynchronousTestCase):
    """Ratios and bounds."""

    def test_paired(self) -> None:
        """A ratio is taken within each repetition."""
        figure = Figure("f", "a", "b", most=2)
        self.assertEqual(figure.values({"a": [2.0, 9.0], "b": [1.0, 3.0]}), [2.0, 3.0])

    def test_bounds(self) -> None:
        """A figure on its bound meets it."""
        figure = Figure("f", "a", least=0.8, most=1.2)
        met = [figure.met(value) for value in (0.79, 0.8, 1.2, 1.21)]
        self.assertEqual(met, [False, True, True, False])

    def test_missed(self) -> None:
        """The table says which bounds are missed, and leaves out what was not measured."""
        samples = {FIGURES[0].ours: [3.0], FIGURES[0].base: [1.0]}
        lines = table(samples).splitlines()
        self.assertEqual(len(lines), 3)
        self.assertIn("**no**", lines[2])


class PageTests(SynchronousTestCase):
    """docs/performance.md."""

    def test_written(self) -> None:
        """The page takes every sample that the figures name, and its plots are XML."""
        docs = Path(self.mktemp())
        docs.mkdir()
        names = {name for figure in FIGURES for name in (figure.ours, figure.base) if name}
        write_docs({"kernel": "Linux"}, {name: [1.0, 2.0] for name in names}, docs)
        page = (docs / "performance.md").read_text()
        for figure in FIGURES:
            self.assertIn(f"| {figure.title} |", page)
        for path in (docs / "performance").iterdir():
            ElementTree.parse(path)
