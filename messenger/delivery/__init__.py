"""Telling people who are not here: out of the outbox, by a webhook of the host application and by Web Push. Nothing of it is on
the way of a message, and nothing of it runs where neither is configured."""
