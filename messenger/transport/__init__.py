"""HTTP and WebSockets: what comes in is decoded at the door, what goes out gets its status and close code here."""
