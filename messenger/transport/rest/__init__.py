"""REST under /api/v1/messenger: one module an aggregate. Errors are RFC 9457 problems."""
