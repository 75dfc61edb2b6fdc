"""What the daemon speaks of, as frozen values. No I/O, no wire format, no SQL."""
