"""Migrations from 0008 on are expand-and-contract: what code of the level before cannot live with is refused here, unless the
migration says, a release later, what code it needs. See sql/README.md."""

import re
from collections.abc import Iterator

import pytest

from messenger.store.migrate import Step, numbered, repeatable

FIRST = 8
# The newest migration, and the digest of roles, functions and policies that are laid with it.
LAID = (8, "7b29b3ac628dd7483089841d434016cf766767c7c4ec2c399a4a49e5fd8152ff")
# What older code may still use, or what it may write that the new law forbids.
CONTRACTING = {
    r"\bdrop\b": "takes away",
    r"\brename\b": "renames",
    r"\bset not null\b": "older code may write null",
    r"\balter (column )?\S+ (set data )?type\b": "another type",
    r"\badd (constraint|check|unique|primary key|foreign key|exclude)\b": "older code may write what it forbids",
    r"\bcreate unique index\b": "older code may write what it forbids",
    r"\bcreate (or replace )?(constraint )?trigger\b": "older code may write what it refuses",
    r"\b(revoke|truncate|delete from|create rule)\b": "takes away",
}
INDEX = re.compile(r"\bcreate (?:unique )?index\b.*?\bon (?:only )?(\S+)")
MADE = re.compile(r"\bcreate (?:unlogged )?table (?:if not exists )?(\S+)")
COLUMN = re.compile(r"\badd column (?:if not exists )?(.*?)(?=, add |$)")


def statements(sql: str) -> Iterator[str]:
    """Each in one line of small letters, without its remarks and the texts that it quotes."""
    bare = re.sub(r"'(?:[^']|'')*'", "''", re.sub(r"--[^\n]*", "", sql))
    for statement in bare.split(";"):
        if text := " ".join(statement.lower().split()):
            yield text


def objections(step: Step) -> list[str]:
    """What code of the level before may not live with, or what keeps everybody from writing."""
    found: list[str] = []
    made = {name for text in statements(step.sql) for name in MADE.findall(text)}
    for text in statements(step.sql):
        table = re.match(
            r"(?:alter table|create (?:unique )?index .*?on|create .*?trigger .*?on) (?:only )?(\S+)", text
        )
        is_new = bool(MADE.match(text)) or (table is not None and table[1] in made)
        if not step.needs and not is_new and not text.startswith(("comment on ", "create policy ", "grant ")):
            found += [f"{why}: {text}" for pattern, why in CONTRACTING.items() if re.search(pattern, text)]
            found += [
                f"older code leaves it out: {text}"
                for column in COLUMN.findall(text)
                if "not null" in column and "default" not in column
            ]
        if not is_new and INDEX.search(text) and not re.search(r"^-- blocks: \S", step.sql, re.MULTILINE):
            found.append(f"nobody writes meanwhile: {text}")
    if step.needs and not FIRST <= step.needs < step.version:
        found.append(f"needs {step.needs:04d}: code of the level before could not run beside it")
    return found


@pytest.mark.parametrize("step", [step for step in numbered() if step.version >= FIRST], ids=lambda step: step.name)
def test_code_of_the_level_before_runs_on_what_a_migration_leaves_behind(step: Step) -> None:
    assert objections(step) == []


def test_functions_and_policies_change_with_a_migration_only() -> None:
    """Two that differ at the same number would each take the other's for older ones: not start, and lay their own over them."""
    newest, digest = numbered()[-1].version, repeatable().digest
    assert (newest, digest) == LAID, (
        f"roles, functions or policies are not what was written down for migration {LAID[0]:04d}. Where {newest:04d} is released, "
        "add a migration that says why they change; where the newest one is in no release yet, write here: "
        f'LAID = ({newest}, "{digest}")'
    )


@pytest.mark.parametrize(
    "sql",
    [
        "alter table messenger.users drop column name",
        "alter table messenger.users rename column name to called",
        "alter table messenger.users\n    alter column name set not null",
        "alter table messenger.users alter column id type text",
        "alter table messenger.users alter column id set data type numeric(20)",
        "alter table messenger.users add column a text default 'not null', add column b text not null",
        "alter table messenger.users add constraint users_named check (name <> '')",
        "create table messenger.a (id bigint); alter table messenger.users drop column name",
        "create unique index one on messenger.users (name)",
        "create index one on messenger.messages (edited_at)",
        "-- needs: 0009\nalter table messenger.users drop column name; create index one on messenger.users (name)",
        "create trigger a_law before insert on messenger.messages execute function messenger.a_law()",
        "DROP FUNCTION messenger.history(bigint)",
        "delete from messenger.users",
        "revoke select on messenger.users from messenger_app",
        "-- needs: 0010\nselect 1",
        "-- needs: 0007\nselect 1",
    ],
)
def test_what_contracts_or_blocks_is_objected_to(sql: str) -> None:
    assert len(objections(Step(10, "ten", sql))) >= 1


@pytest.mark.parametrize(
    "sql",
    [
        """
        create table messenger.a (id bigint not null constraint a_pk primary key, kind text);
        create index a_kind on messenger.a (kind);
        alter table messenger.a add constraint a_kinds check (kind <> '')
        """,
        "alter table messenger.users add column shoe_size integer not null default 42",
        "alter table messenger.users add column type text; -- do not drop it",
        "comment on table messenger.users is 'drop; rename'",
        "-- needs: 0009\nalter table messenger.users drop column name",
        "-- blocks: the index is partial and its table small\ncreate index one on messenger.installation (epoch)",
    ],
)
def test_what_widens_or_says_what_it_needs_is_not(sql: str) -> None:
    assert objections(Step(10, "ten", sql)) == []
