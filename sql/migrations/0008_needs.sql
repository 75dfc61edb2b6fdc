-- From here on the code that runs may be older than the database, as long as no migration says that it may not.

alter table messenger.schema_migrations
    add column needs integer not null default 0 constraint schema_migrations_needs check (needs < version or needs = 0);
comment on column messenger.schema_migrations.needs is
    'The lowest migration that code has to know to run on what this one left behind; 0 where any will do.';
