"""What schemathesis is told before it asks: JSON Schema takes 7.0 for an integer, and the daemon, on purpose, does not."""

from typing import Any

import schemathesis


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """A body with its whole numbers written as such."""
    match body:
        case dict():
            return {name: map_body(context, value) for name, value in body.items()}
        case list():
            return [map_body(context, item) for item in body]
        case float() if body.is_integer() and abs(body) < 2**53:
            return int(body)
    return body
