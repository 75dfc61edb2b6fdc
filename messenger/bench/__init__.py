"""`messenger bench`: loads a daemon as its users would, and says what that costs it."""
