"""How failures are told in dialects: in a sentence for people, without codes."""

from messenger.errors import MessengerError, Unauthorized, Unavailable

_AWAY = Unavailable().message


def sentence(error: MessengerError) -> str:
    """What went wrong. Where the core speaks of what a dialect has not (`client_id`, a reason beside the message), in other
    words."""
    if isinstance(error, Unauthorized):
        return error.reason or error.message
    return "The database did not answer; try again in a moment" if error.message == _AWAY else error.message
