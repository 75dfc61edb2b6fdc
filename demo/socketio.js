// The same live sessions over Socket.IO, as the stock socket.io-client speaks it; coming in is by REST, as on session.html.

import { enter, offerToGo } from "./door.js";
import { byId, h, write } from "./dom.js";
import { address, furnish, keep, kept, offer, showOver, showRoom, showStatus, unfold } from "./page.js";
import { giveUp, seatHeld, take, wayIn } from "./seat.js";
import { Talk } from "./talk.js";
import { io } from "./vendor/socket.io.esm.min.js";
import { say } from "./words.js";

const TRANSPORT = "messenger.transport";
const TRANSPORTS = ["websocket", "polling"];
const MOST_CHARS = 500;
const CLOSED = "session closed";

furnish("ways.socketio");
const transport = transportChoice();
attend(seatHeld() ?? (await enterAnew()));

async function enterAnew() {
  const seat = await enter({ title: "ways.socketio", lead: "io.lead", extra: transport.element });
  take(seat);
  return seat;
}

function attend(me) {
  const { code, isHost } = me;
  showRoom(me.title);
  write(
    byId("subtitle"),
    isHost ? say("live.asHost", { name: me.nickname }) : say("live.asGuest", { name: me.nickname }),
  );
  write(byId("code"), code);
  offer(byId("link"), byId("copy"), byId("copied"), wayIn(me));
  unfold(byId("side"));
  byId("transport-home").append(transport.element);
  byId("close").hidden = !isHost;
  byId("leave").hidden = isHost;

  const talk = new Talk({
    most: MOST_CHARS,
    onsend: (message) => {
      if (!socket.connected) return false;
      socket.emit("send_message", { message, message_type: "text" });
      return true;
    },
  });
  const { origin, pathname } = address("socket.io/");
  const socket = io(origin, { path: pathname, transports: [transport.value], auth: { token: me.as.token } });
  // Messages that are shown, and all that there are.
  let shown = 0;
  let total = 0;
  // Why the server ends it, as it said last.
  let reason = "";

  const told = ({ id, participant_nickname, message, message_type, created_at }) => ({
    id,
    nickname: participant_nickname,
    own: participant_nickname === me.nickname,
    content: message,
    kind: message_type,
    at: new Date(created_at),
  });
  const count = (those, all) => {
    [shown, total] = [those, all];
    write(byId("history"), say("io.history", { shown, count: total }));
  };
  const over = () => {
    giveUp();
    talk.close();
    byId("close").hidden = byId("leave").hidden = transport.element.disabled = true;
    showOver(reason === CLOSED ? say("live.closed") : say("live.refused", { reason }));
  };

  socket.on("connect", () => {
    showStatus("online");
    const role = isHost ? "presenter" : "participant";
    socket.emit("join_session", { session_id: code, participant_id: me.id, nickname: me.nickname, role });
  });
  // What was said while we were away is in there. Why we were away, as with a node that drains, is no trouble any more.
  socket.on("joined_session", ({ participant_count }) => {
    talk.trouble("");
    write(byId("count"), String(participant_count));
    socket.emit("get_chat_history", {});
  });
  socket.on("chat_history", ({ messages, total_count }) => {
    talk.show(messages.map(told));
    if (total_count === 0) talk.note(say("pane.empty"));
    count(messages.length, total_count);
  });
  socket.on("new_message", (message) => {
    if (talk.add(told(message))) count(shown + 1, total + 1);
  });
  socket.on("participant_count_update", ({ count: here }) => write(byId("count"), String(here)));
  socket.on("error", ({ message }) => {
    reason = message;
    talk.trouble(message);
  });
  socket.on("disconnect", (why) => {
    if (why === "io server disconnect") return over();
    if (why === "io client disconnect") return;
    showStatus("waiting");
    talk.giveBack();
  });
  socket.on("connect_error", ({ message }) => {
    // The client tries again by itself, unless it was the server that refused.
    if (socket.active) return showStatus("waiting");
    reason = message;
    over();
  });
  showStatus("connecting");
  talk.focus();

  transport.onchange = () => {
    socket.disconnect();
    socket.io.opts.transports = [transport.value];
    showStatus("connecting");
    socket.connect();
  };
  offerToGo(
    me,
    () => socket.disconnect(),
    (words) => talk.trouble(words),
  );
}

// One element, before the room and in it; the choice stays in this tab.
function transportChoice() {
  const held = kept(TRANSPORT);
  const choice = { value: TRANSPORTS.includes(held) ? held : TRANSPORTS[0], onchange: () => {} };
  const choose = ({ target }) => {
    choice.value = target.value;
    keep(TRANSPORT, choice.value);
    choice.onchange();
  };
  choice.element = h(
    "fieldset",
    { class: "choices", "data-testid": "transport", onchange: choose },
    h("legend", { class: "field-label" }, say("io.transport")),
    TRANSPORTS.map((name) =>
      h(
        "label",
        { class: "choice-line" },
        h("input", { type: "radio", name: "transport", value: name, checked: name === choice.value }),
        say(`io.${name}`),
      ),
    ),
  );
  return choice;
}
