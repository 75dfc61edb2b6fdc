// The page: who we are, what is open, and what is drawn when. The logic of chatting is in client/, which knows no page.
//
// Stable hooks for end-to-end tests (`data-testid`, and what else an element tells):
//
//   user-pick            button of a demo user on the first page; data-user-id
//   token, token-submit  field and button where the daemon wants a token
//   connection           always there; data-status = idle | connecting | online | waiting | token | stopped
//   connection-banner    across the open conversation while not online; data-status; reconnect: its button
//   start-over           button where there is no going on: no server, a token of somebody else, a revoked one
//   conversation         button in the list; data-conversation-id; aria-current="true" on the open one
//   unread               badge in a conversation's button; its text begins with the count; absent where nothing is unread
//   presence             dot on the avatar of a direct conversation (list and head); data-online = true | false
//   new-conversation     button; opens a dialog with person (data-user-id) and cancel
//   switch-user          link back to the first page
//   conversation-title, subtitle   of the open conversation; back: to the list (narrow screens)
//   participants         button in the head of a conversation of many; opens a dialog with participant (data-user-id)
//   pane                 the scrolling history; load-older: button at its top, while there are older ones; jump: to the end
//   message              a row; data-message-id and data-seq (absent while pending or failed), data-own="true" on own ones,
//                        data-state on own ones = pending | sent | read | failed, data-deleted="true" on tombstones,
//                        data-type="system" on system messages
//   message-content      the text of a row
//   message-edit, message-delete   buttons of own rows (shown on hover, focus or tap); deleting opens a dialog: confirm, cancel
//   message-error, message-retry, message-discard   of a row that failed
//   typing               line above the composer, hidden while nobody types
//   composer, send       field and button; editing: shown above the field while a message is edited
//   frames-toggle, frames-clear, frames-close, frame   the panel of raw frames, newest first; a frame has
//                        data-direction = in | out and data-type; its text holds the JSON
//   toast                something told in passing

import { portrait } from "./avatar.js";
import { Connection } from "./client/connection.js";
import { Messenger } from "./client/messenger.js";
import { Rest } from "./client/rest.js";
import { Composer } from "./composer.js";
import { chooseUser, confirm, renderDialog, showParticipants, toast } from "./dialogs.js";
import { byId, fill, h, icon, write } from "./dom.js";
import { FramesPanel } from "./frames.js";
import { askToken, showTrouble, showUsers } from "./gate.js";
import { OpenIdentity, TokenIdentity, forgetToken } from "./identity.js";
import { ConversationList } from "./list.js";
import { Pane } from "./pane.js";
import { renderStatus, stoppedWords } from "./status.js";

const NARROW = matchMedia("(max-width: 760px)");

start();

async function start() {
  let config;
  try {
    const response = await fetch("demo/config.json");
    if (!response.ok) throw new Error(response.statusText);
    config = await response.json();
  } catch {
    const again = { action: "Try again", run: () => location.reload() };
    showTrouble(byId("gate"), { title: "Not available", words: "The server does not answer.", ...again });
    return;
  }
  const user = new URLSearchParams(location.search).get("user");
  if (config.auth === "off" && !/^[1-9]\d{0,15}$/.test(user ?? "")) showUsers(byId("gate"), config.users);
  else run(config, user);
}

/** The chat, as `user` (text as in the address, or null: whomever the token names). */
function run(config, user) {
  const identity =
    config.auth === "off"
      ? new OpenIdentity(user)
      : new TokenIdentity(user, (refusal) => askToken(byId("gate"), refusal));
  const connection = new Connection(identity);
  const rest = new Rest({ base: new URL("api/v1/messenger/", document.baseURI), headers: () => identity.headers() });
  const messenger = new Messenger({ connection, rest });
  for (const { id, name } of config.users ?? []) messenger.people.introduce(id, { name });

  const frames = new FramesPanel({ root: byId("frames"), toggle: byId("frames-toggle") });
  connection.onwire = (direction, frame) => frames.record(direction, frame);

  const trouble = (error) => toast(error.message ?? "Something went wrong");
  const pane = new Pane(messenger, {
    edit: (message) => composer.edit(message),
    remove: async (message) => {
      if (
        await confirm({
          title: "Delete message?",
          words: "It is removed for everybody in this conversation.",
          action: "Delete",
        })
      )
        messenger.remove(message.id).catch(trouble);
    },
    retry: (clientId) => messenger.outbox.retry(clientId),
    discard: (clientId) => messenger.outbox.discard(clientId),
  });
  const composer = new Composer({
    messenger,
    form: byId("composer-form"),
    ontrouble: trouble,
    onsend: () => {
      pane.forgetNew();
      pane.toEnd();
    },
  });
  const list = new ConversationList({ messenger, root: byId("conversations"), onopen: (id) => (location.hash = id) });

  // Everything is drawn from the state as it is; notices in between are drawn together. A timer and not an animation frame:
  // the title counts the unread in a hidden tab as well.
  let drawing = null;
  const draw = () => {
    drawing ??= setTimeout(() => {
      drawing = null;
      const counting = renderStatus(messenger.status, { onretry: () => connection.nudge() });
      const open = pane.id;
      if (open !== null && messenger.directory.loaded && pane.conversation === null && !messenger.watches(open))
        location.replace("#");
      list.render(open);
      pane.render();
      composer.render(pane.conversation);
      renderMe(messenger, user);
      renderDialog();
      if (counting) ticking ??= setTimeout(() => ((ticking = null), draw()), 1000);
    });
  };
  let ticking = null;
  for (const topic of ["status", "list", "log", "typing", "people"]) messenger.on(topic, draw);
  messenger.on("status", () => {
    const { state, reason } = messenger.status;
    if (state === "online") pane.reconnected();
    if (state === "stopped")
      showTrouble(byId("gate"), {
        title: "Signed out",
        words: stoppedWords(reason),
        action: "Start over",
        run: startOver,
      });
  });
  messenger.on("trouble", trouble);
  messenger.on("expiring", (seconds) => toast(`The token expires in ${seconds} s`));

  // The address says what is open, so that a reload and the browser's own buttons do what one expects.
  let started = false;
  let cameFromList = false;
  const open = () => {
    const id = location.hash.slice(1) || null;
    if (id === pane.id) return;
    cameFromList = pane.id === null && id !== null && started;
    byId("app").dataset.screen = id === null ? "list" : "chat";
    pane.show(id);
    composer.show(id);
    draw();
    // On a phone the keyboard would jump up at once.
    if (id !== null && !NARROW.matches) composer.focus();
  };
  addEventListener("hashchange", open);
  byId("back").addEventListener("click", () => (cameFromList ? history.back() : (location.hash = "")));

  byId("new-conversation").addEventListener("click", async () => {
    const chosen = await chooseUser(messenger);
    if (chosen !== null) messenger.direct(chosen).then((id) => (location.hash = id), trouble);
  });
  byId("participants").addEventListener("click", () => {
    if (pane.conversation !== null) showParticipants(messenger, pane.conversation);
  });
  byId("switch-user").addEventListener("click", (event) => {
    event.preventDefault();
    startOver();
  });

  // A laptop that wakes, a network that changes, a tab that is looked at again: find out now, not at the next heartbeat.
  for (const event of ["online", "offline", "pageshow"]) addEventListener(event, () => connection.nudge());
  document.addEventListener("visibilitychange", () => {
    if (document.visibilityState !== "visible") return;
    connection.nudge();
    pane.read();
  });
  setInterval(draw, 30_000);

  fill(byId("new-conversation"), icon("plus"));
  fill(byId("switch-user"), icon("leave"));
  fill(byId("back"), icon("back"));
  fill(byId("participants"), icon("people"));
  fill(byId("nothing-open"), h("span", { class: "nothing-mark" }, icon("chat")), h("p", {}, "Choose a conversation"));
  byId("app").hidden = false;
  open();
  started = true;
  draw();
  connection.start();
}

/** As somebody else: forget who we are, and begin at the first page. */
function startOver() {
  forgetToken();
  location.assign(new URL("./", document.baseURI));
}

function renderMe(messenger, user) {
  const { me, people, conversations } = messenger;
  const id = me ?? Number(user);
  const name = id ? people.nameOf(id) : "";
  write(byId("me-name"), name);
  const face = byId("me-avatar");
  const look = JSON.stringify([name, people.pictureOf(id)]);
  if (id && face.dataset.look !== look) {
    face.dataset.look = look;
    fill(face, portrait(messenger, id));
  }
  const { unread } = conversations;
  const title = [unread > 0 ? `(${unread})` : null, name || null, "Messenger"].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}
