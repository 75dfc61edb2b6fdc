"""The page at /docs: plain files, and nothing that is loaded from elsewhere."""
