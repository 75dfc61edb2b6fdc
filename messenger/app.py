"""The table of contents: every route, and what each request goes through."""

from aiohttp import web

from messenger import lifecycle
from messenger.config import Config
from messenger.dialects import channel, open_room, platform, session, session_rest, socket_io
from messenger.domain.attachment import ATTACHMENTS
from messenger.transport import contract, demo, health, middleware, ws
from messenger.transport.context import ALONE, CONFIG, PLACE, Place
from messenger.transport.rest import attachments, conversations, devices, messages, participants, sync, users

API = "/api/v1/messenger"
# A user, also by the id that the host has for him: any text. What stands for itself would not match braces.
ANYBODY = "{user_id:[^/]+}"
# A body is no larger than a frame may be, and a conversation's metadata and participants still fit.
MAX_BODY_BYTES = 262_144


def make_app(config: Config, place: Place = ALONE) -> web.Application:
    """The daemon as an application; its resources live as long as it does."""
    app = web.Application(
        middlewares=[
            middleware.keep_from_doorstep,
            middleware.log_requests,
            middleware.fence,
            middleware.tell_problems,
            platform.keep_to_the_host,
        ],
        client_max_size=MAX_BODY_BYTES,
    )
    app[CONFIG] = config
    app[PLACE] = place
    app.cleanup_ctx.append(lifecycle.resources)
    app.on_shutdown.append(lifecycle.drain)
    app.on_response_prepare.append(middleware.guard)
    app.add_routes(
        [
            web.get("/ws/chat/{room_id}", open_room.open_socket),
            web.get("/ws/{session_code}/{participant_id}", session.open_socket),
            web.get(f"/ws/{ANYBODY}", ws.open_socket),
            web.get(f"{API}/ws/{ANYBODY}", ws.open_socket),
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
            web.get(API + "/messages/{message_id}/receipts", messages.receipts),
            web.get(API + "/messages/{message_id}/reactions", messages.reactions),
            web.get(API + "/conversations/{conversation_id}/participants", participants.list_),
            web.post(API + "/conversations/{conversation_id}/participants", participants.add),
            web.get(API + "/conversations/{conversation_id}/participants/former", participants.former),
            web.patch(API + "/conversations/{conversation_id}/participants/{user_id}", participants.set_role),
            web.delete(API + "/conversations/{conversation_id}/participants/{user_id}", participants.remove),
            web.get(API + "/conversations/{conversation_id}/notifications", conversations.notifications),
            web.put(API + "/conversations/{conversation_id}/notifications", conversations.set_notifications),
            web.post(ATTACHMENTS, attachments.upload),
            web.get(ATTACHMENTS + "/{attachment_id}", attachments.show),
            web.get(ATTACHMENTS + "/{attachment_id}/links", attachments.links),
            web.get(ATTACHMENTS + "/{attachment_id}/content", attachments.content),
            web.get(ATTACHMENTS + "/{attachment_id}/thumbnail", attachments.thumbnail),
            web.post(API + "/sync", sync.sync),
            web.get(API + "/users/me", users.me),
            web.get(API + "/users/me/blocks", users.blocks),
            web.put(API + "/users/me/blocks/{user_id}", users.block),
            web.delete(API + "/users/me/blocks/{user_id}", users.unblock),
            web.get(API + "/users/me/devices", devices.list_),
            web.post(API + "/users/me/devices", devices.register),
            web.delete(API + "/users/me/devices/{push_device_id}", devices.remove),
            web.get(API + "/push-key", devices.push_key),
            web.get(API + "/users", users.list_),
            web.put(f"{API}/users/{ANYBODY}", users.put),
            web.post(f"{API}/users/{ANYBODY}/revoke", users.revoke),
            web.get(API + "/presence", users.presence),
            web.post("/api/v1/sessions", session_rest.open_),
            web.patch("/api/v1/sessions/{session_code}", session_rest.change),
            web.get("/api/v1/sessions/{session_code}/status", session_rest.status),
            web.get("/api/v1/sessions/{session_code}/state", session_rest.state),
            web.put("/api/v1/sessions/{session_code}/state", session_rest.put_state),
            web.post("/api/v1/join/{session_code}", session_rest.join),
            web.get("/api/v1/chat/ws/{channel_url}", channel.open_socket),
            web.get("/api/v1/chat/ws/{channel_url}/test", channel.open_test_socket),
            web.get("/socket.io/", socket_io.poll),
            web.post("/socket.io/", socket_io.push),
            web.post(f"{platform.ROOT}/group_channels", platform.create),
            web.get(f"{platform.ROOT}/group_channels", platform.list_),
            web.get(f"{platform.ROOT}/group_channels/{{channel_url}}", platform.show),
            web.put(f"{platform.ROOT}/group_channels/{{channel_url}}", platform.change),
            web.delete(f"{platform.ROOT}/group_channels/{{channel_url}}", platform.delete),
            web.post(f"{platform.ROOT}/group_channels/{{channel_url}}/invite", platform.invite),
            web.put(f"{platform.ROOT}/group_channels/{{channel_url}}/leave", platform.leave),
            web.get(f"{platform.ROOT}/group_channels/{{channel_url}}/members", platform.members),
            web.post(f"{platform.ROOT}/group_channels/{{channel_url}}/messages", platform.say),
            web.get(f"{platform.ROOT}/group_channels/{{channel_url}}/messages", platform.messages),
            web.put(f"{platform.ROOT}/group_channels/{{channel_url}}/messages/{{message_number}}", platform.edit),
            web.delete(
                f"{platform.ROOT}/group_channels/{{channel_url}}/messages/{{message_number}}", platform.withdraw
            ),
            web.post(f"{platform.ROOT}/users", platform.create_user),
            web.get(f"{platform.ROOT}/users", platform.list_users),
            web.get(f"{platform.ROOT}/users/{ANYBODY}", platform.show_user),
            web.put(f"{platform.ROOT}/users/{ANYBODY}", platform.change_user),
            web.delete(f"{platform.ROOT}/users/{ANYBODY}", platform.delete_user),
            web.get("/stats", health.stats),
            web.get("/metrics", health.metrics),
            web.get("/healthz", health.healthz),
            web.get("/readyz", health.readyz),
            web.get("/openapi.json", contract.openapi_json),
            web.get("/asyncapi.json", contract.asyncapi_json),
            web.get("/docs", contract.page),
            web.get("/docs/{file:[^/]*}", contract.part),
        ]
    )
    # Of what stands above: the demo is no part of it.
    app[contract.CONTRACT] = contract.of(app)
    if config.demo:
        app.add_routes(
            [
                web.get("/", demo.index),
                web.get("/demo/config.json", demo.config),
                web.get("/demo/{path:.+}", demo.static),
            ]
        )
    return app
