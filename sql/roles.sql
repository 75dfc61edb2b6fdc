-- The one role of the daemon. Run before the migrations, every time; needs CREATEROLE and no superuser.

-- messenger_app is granted to the daemon's login role. It owns nothing and bypasses nothing.
do $$
begin
    create role messenger_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
exception
    when duplicate_object or unique_violation then null;  -- there already, or made by a migration next door
end
$$;

create schema if not exists messenger;
revoke all on schema messenger from public;
grant usage on schema messenger to messenger_app;

create table if not exists messenger.schema_migrations (
    version integer not null constraint schema_migrations_pk primary key,
    name text not null,
    digest text not null,
    applied_at timestamptz not null default now()
);
comment on table messenger.schema_migrations is
    'What of sql/ this database holds. Version 0 stands for functions/ and policies/, which are laid anew when they change.';
alter table messenger.schema_migrations enable row level security;
alter table messenger.schema_migrations force row level security;
revoke all on messenger.schema_migrations from public;
drop policy if exists owner_all on messenger.schema_migrations;
create policy owner_all on messenger.schema_migrations to current_user using (true) with check (true);
