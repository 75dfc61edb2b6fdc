"""The use cases. Each reads as a story: enter as the user, write, leave the transaction, announce."""
