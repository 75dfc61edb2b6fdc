"""Databases of one server, and who connects to them."""

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import asyncpg

from messenger.store.migrate import migrate

PASSWORD = "only-for-tests"


@dataclass(frozen=True)
class Servers:
    """`admin_url` is a superuser's. The roles of tests are made by `make_roles`."""

    admin_url: str
    redis_url: str
    owner: str = "messenger_test_owner"
    login: str = "messenger_test_login"

    async def make_roles(self) -> None:
        for role, options in ((self.owner, "createrole"), (self.login, "")):
            await self.execute(
                f"""
                do $$ begin
                    if not exists (select from pg_roles where rolname = '{role}') then
                        create role {role} login password '{PASSWORD}' {options};
                    end if;
                end $$
                """
            )
        # Made by somebody else before us, messenger_app is not ours to grant.
        await self.execute(
            f"""
            do $$ begin
                if exists (select from pg_roles where rolname = 'messenger_app') then
                    grant messenger_app to {self.owner} with admin option;
                end if;
            end $$
            """
        )

    async def make_database(self, name: str) -> None:
        """A migrated one, which the login may use."""
        await self.execute(f'create database "{name}" owner {self.owner}')
        await migrate(self.url_of_owner(name))
        await self.execute(f"grant messenger_app to {self.login}")

    async def execute(self, statement: str) -> None:
        connection = await asyncpg.connect(self.admin_url)
        try:
            await connection.execute(statement)
        finally:
            await connection.close()

    def url_of_admin(self, database: str) -> str:
        return self._url(None, database)

    def url_of_owner(self, database: str) -> str:
        return self._url(self.owner, database)

    def url_of_login(self, database: str) -> str:
        return self._url(self.login, database)

    def _url(self, role: str | None, database: str) -> str:
        scheme, netloc, _, query, fragment = urlsplit(self.admin_url)
        if role is not None:
            netloc = f"{role}:{quote(PASSWORD)}@{netloc.rpartition('@')[2]}"
        return urlunsplit((scheme, netloc, f"/{database}", query, fragment))


@dataclass(frozen=True)
class Database:
    servers: Servers
    name: str

    @property
    def admin_url(self) -> str:
        return self.servers.url_of_admin(self.name)

    @property
    def owner_url(self) -> str:
        return self.servers.url_of_owner(self.name)

    @property
    def app_url(self) -> str:
        return self.servers.url_of_login(self.name)

    @asynccontextmanager
    async def as_user(self, user_id: int | None, *scope: Any) -> Any:
        """A transaction as the application role, entered as a user or as nobody; rolled back at the end."""
        connection = await asyncpg.connect(self.app_url)
        transaction = connection.transaction()
        await transaction.start()
        try:
            if user_id is not None:
                await connection.execute("select messenger.enter($1, $2)", user_id, list(scope) or None)
            yield connection
        finally:
            await transaction.rollback()
            await connection.close()
