#!/bin/sh
# Run once, by the postgres image when its volume is empty: the roles and the database as the README's "In production" has them.
# messenger_app is made here too, so that the daemon's login has it before `messenger migrate` gives it any rights.
set -eu
psql --set ON_ERROR_STOP=1 --no-psqlrc --quiet --username "$POSTGRES_USER" --dbname postgres <<'SQL'
\getenv owner_password OWNER_PASSWORD
\getenv login_password LOGIN_PASSWORD
create role messenger_owner login createrole password :'owner_password';
create role messenger_login login password :'login_password';
create role messenger_app nologin nosuperuser nobypassrls nocreatedb nocreaterole;
grant messenger_app to messenger_owner with admin option;
grant messenger_app to messenger_login;
create database messenger owner messenger_owner;
SQL
