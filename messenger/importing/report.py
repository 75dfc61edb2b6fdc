"""What came over, what came otherwise, and what did not: told at the end, as a table or as JSON. No content, no token."""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

# So many failures are told one by one; the rest by their reasons.
MOST_FAILURES = 200
# So many who are called otherwise are told in lines; in JSON all are.
MOST_RENAMED = 20
# What is counted, in the order in which it is told.
COUNTS = {
    "users": ("new", "changed", "as they were"),
    "channels": ("made", "known", "native", "deleted"),
    "members": ("new",),
    "messages": ("new", "removed there"),
    "files": ("new", "here before", "mended", "bytes"),
}
# Of those what only counts as told where there is any.
ALWAYS = {("users", "new"), ("channels", "made"), ("members", "new"), ("messages", "new"), ("files", "new")}
MEANINGS = {
    ("channels", "known"): "known from before",
    ("channels", "native"): "made here by the host application: their messages only",
    ("channels", "deleted"): "deleted here since they came over: left so",
}


@dataclass(slots=True)
class Report:
    """Counts by thing and by what became of it; notes by their text; `renamed`: users whose id is
    none here, and what they are called instead; failures as what, and why."""

    is_rehearsal: bool = False
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    renamed: list[tuple[str, str]] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    more_failures: Counter[str] = field(default_factory=Counter)
    # Why it ended early, where it did.
    ended: str = ""

    def count(self, thing: str, became: str, number: int = 1) -> None:
        self.counts[thing, became] += number

    def note(self, text: str, number: int = 1) -> None:
        """Something came otherwise than it was, or has no counterpart here."""
        self.notes[text] += number

    def fail(self, what: str, why: str) -> None:
        """Something did not come over; what is told again, because it was tried again, counts once."""
        if (what, why) in self.failures:
            return
        if len(self.failures) < MOST_FAILURES:
            self.failures.append((what, why))
        else:
            self.more_failures[why] += 1

    @property
    def is_whole(self) -> bool:
        return not self.failures and not self.ended

    def lines(self) -> Iterator[str]:
        yield "Would come over (nothing was written):" if self.is_rehearsal else "Came over:"
        for thing, outcomes in COUNTS.items():
            told = [
                f"{self.counts[thing, became]:,} {MEANINGS.get((thing, became), became)}"
                for became in outcomes
                if self.counts[thing, became] or (thing, became) in ALWAYS
            ]
            yield f"  {thing:<10}{', '.join(told)}"
        if self.notes or self.renamed:
            yield "Came otherwise, or has no counterpart here:"
            yield from (f"  {number:,} {text}" for text, number in sorted(self.notes.items()))
            for there, here in sorted(self.renamed)[:MOST_RENAMED]:
                yield f"  user {there}: the id is none here, he is called {here}"
            if (more := len(self.renamed) - MOST_RENAMED) > 0:
                yield f"  and {more:,} more users whose id is none here: --json names them"
        if self.failures:
            yield "Would not come over:" if self.is_rehearsal else "Did not come over:"
            yield from (f"  {what}: {why}" for what, why in self.failures)
            yield from (f"  and {number:,} more: {why}" for why, number in sorted(self.more_failures.items()))
        if self.ended:
            yield f"Ended early: {self.ended}. Run it again: it goes on where it ended."
        elif not self.failures:
            yield "Nothing was left behind."

    def as_json(self) -> Mapping[str, Any]:
        return {
            "dry_run": self.is_rehearsal,
            "counts": {
                thing: {became.replace(" ", "_"): self.counts[thing, became] for became in outcomes}
                for thing, outcomes in COUNTS.items()
            },
            "notes": dict(sorted(self.notes.items())),
            "renamed_users": [{"there": there, "here": here} for there, here in sorted(self.renamed)],
            "failures": [{"what": what, "why": why} for what, why in self.failures],
            "more_failures": dict(sorted(self.more_failures.items())),
            "ended_early": self.ended or None,
        }
