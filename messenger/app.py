"""The table of contents: every route, and what each request goes through."""

from aiohttp import web

from messenger import lifecycle
from messenger.config import Config
from messenger.transport import demo, health, middleware, ws
from messenger.transport.context import ALONE, CONFIG, PLACE, Place
from messenger.transport.rest import conversations, messages, participants, users

API = "/api/v1/messenger"
# A body is no larger than a frame may be, and a conversation's metadata and participants still fit.
MAX_BODY_BYTES = 262_144


def make_app(config: Config, place: Place = ALONE) -> web.Application:
    """The daemon as an application; its resources live as long as it does."""
    app = web.Application(
        middlewares=[middleware.log_requests, middleware.fence, middleware.tell_problems],
        client_max_size=MAX_BODY_BYTES,
    )
    app[CONFIG] = config
    app[PLACE] = place
    app.cleanup_ctx.append(lifecycle.resources)
    app.on_shutdown.append(lifecycle.drain)
    app.add_routes(
        [
            web.get("/ws/{user_id}", ws.open_socket),
            web.get(API + "/ws/{user_id}", ws.open_socket),
            web.get(API + "/conversations", conversations.list_),
            web.post(API + "/conversations", conversations.create),
            web.get(API + "/conversations/{conversation_id}", conversations.show),
            web.patch(API + "/conversations/{conversation_id}", conversations.update),
            web.delete(API + "/conversations/{conversation_id}", conversations.delete),
            web.get(API + "/conversations/{conversation_id}/messages", messages.history),
            web.post(API + "/conversations/{conversation_id}/messages", messages.send),
            web.patch(API + "/messages/{message_id}", messages.edit),
            web.delete(API + "/messages/{message_id}", messages.delete),
            web.post(API + "/messages/{message_id}/read", messages.read),
            web.get(API + "/conversations/{conversation_id}/participants", participants.list_),
            web.post(API + "/conversations/{conversation_id}/participants", participants.add),
            web.patch(API + "/conversations/{conversation_id}/participants/{user_id}", participants.set_role),
            web.delete(API + "/conversations/{conversation_id}/participants/{user_id}", participants.remove),
            web.get(API + "/users/me", users.me),
            web.get(API + "/users", users.list_),
            web.post(API + "/users/{user_id}/revoke", users.revoke),
            web.get(API + "/presence", users.presence),
            web.get("/stats", health.stats),
            web.get("/healthz", health.healthz),
            web.get("/readyz", health.readyz),
        ]
    )
    if config.demo:
        app.add_routes(
            [
                web.get("/", demo.index),
                web.get("/demo/config.json", demo.config),
                web.get("/demo/{path:.+}", demo.static),
            ]
        )
    return app
