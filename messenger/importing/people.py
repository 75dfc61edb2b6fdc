"""Everybody who came over, by the vendor's ids: each comes once in an import, however often he is met."""

from collections.abc import Iterable, Iterator, Mapping

from messenger.domain.ids import UserId
from messenger.domain.imported import Person
from messenger.importing import mapping
from messenger.importing.mapping import shown
from messenger.importing.report import Report
from messenger.store.importing import Landing, Unstorable


class People(Mapping[str, UserId]):
    def __init__(self, landing: Landing, report: Report) -> None:
        self._landing = landing
        self._report = report
        self._ids: dict[str, UserId] = {}

    def __getitem__(self, vendor_id: str) -> UserId:
        return self._ids[vendor_id]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ids)

    def __len__(self) -> int:
        return len(self._ids)

    async def bring(self, people: Iterable[Person]) -> None:
        """Those who did not come yet. Raises Unavailable."""
        wanted = {person.vendor_id: person for person in people if person.vendor_id not in self._ids}
        if not wanted:
            return
        try:
            landed = await self._landing.users(list(wanted.values()))
        except Unstorable:
            # One of them: the others are not to suffer.
            if len(wanted) > 1:
                for person in wanted.values():
                    await self.bring([person])
                return
            (person,) = wanted.values()
            self._report.fail(f"user {shown(person.vendor_id)}", "the database refuses the profile: he came without it")
            landed = await self._landing.users([Person(person.vendor_id, person.named)])
        for one in landed:
            if one.vendor_id not in self._ids:  # else another channel brought him meanwhile
                self._ids[one.vendor_id] = one.user_id
                self._tell(one.vendor_id, "new" if one.is_new else "changed" if one.is_changed else "as they were")

    def _tell(self, vendor_id: str, became: str) -> None:
        if vendor_id in mapping.STAND_INS:
            return
        self._report.count("users", became)
        if not mapping.has_own_id(vendor_id):
            self._report.renamed.append((shown(vendor_id), str(mapping.named(vendor_id))))
