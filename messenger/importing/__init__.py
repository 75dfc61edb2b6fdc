"""What brings a chat over from the vendor: `messenger import-sendbird`."""
