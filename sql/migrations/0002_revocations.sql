-- Which transaction revoked somebody's tokens, so that a node which missed the word finds it by its next poll.

alter table messenger.users add column revoked_in xid8;
comment on column messenger.users.revoked_in is
    'The transaction that set tokens_not_before last: found by a poll as conversation_heads.touched is.';
create index users_revoked_in on messenger.users (revoked_in) where revoked_in is not null;
