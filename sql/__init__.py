"""The database as SQL: migrations, functions, policies. Read by messenger.store.migrate."""
