"""How far an import is, on stderr: a bar on a terminal, else a line now and then."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

import click

# Between two lines, where nobody watches.
LINE_S = 5.0


class Steps(Protocol):
    def step(self, number: int = 1) -> None:
        """So many more are done."""

    def say(self, beside: str) -> None:
        """What else is worth knowing."""


class _Lines:
    def __init__(self, label: str, length: int | None) -> None:
        self._label = label
        self._length = length
        self._beside = ""
        self._done = 0
        self._told_at = time.monotonic()

    def step(self, number: int = 1) -> None:
        self._done += number
        if time.monotonic() - self._told_at >= LINE_S:
            self.tell()

    def say(self, beside: str) -> None:
        self._beside = f", {beside}"
        self.step(0)

    def tell(self) -> None:
        self._told_at = time.monotonic()
        of = "" if self._length is None else f" of {self._length:,}"
        click.echo(f"{self._label}: {self._done:,}{of}{self._beside}", err=True)


class _Bar:
    def __init__(self, bar: "click._termui_impl.ProgressBar[int]", label: str) -> None:
        self._bar = bar
        self._label = label

    def step(self, number: int = 1) -> None:
        self._bar.update(number)

    def say(self, beside: str) -> None:
        self._bar.label = f"{self._label} ({beside})"
        self._bar.update(0)


@contextmanager
def shown(label: str, length: int | None = None) -> Iterator[Steps]:
    """`length` None: nobody knows how many there are."""
    if length is None or not sys.stderr.isatty():
        lines = _Lines(label, length)
        try:
            yield lines
        finally:
            lines.tell()
        return
    with click.progressbar(length=length, label=label, file=sys.stderr, show_pos=True) as bar:
        yield _Bar(bar, label)
