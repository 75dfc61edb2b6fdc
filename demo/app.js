// The page: who we are, what is open, and what is drawn when. The logic of chatting is in client/, which knows no page.
//
// Stable hooks for end-to-end tests (`data-testid`, and what else an element tells):
//
//   user-pick            button of a demo user on the first page; data-user-id
//   token, token-submit  field and button where the daemon wants a token
//   language             choice of the language, before the chat and below the list; its values are en and ko
//   connection           always there; data-status = idle | connecting | online | waiting | token | stopped;
//                        data-cut="true" while the network is cut by hand
//   connection-banner    across the open conversation, or above the list, while not online; data-status; reconnect: its button
//   start-over           button where there is no going on: no server, a token of somebody else, a revoked one
//   filter               the field that searches the list
//   conversation         button in the list; data-conversation-id; aria-current="true" on the open one
//   unread               badge in a conversation's button; its text begins with the count; absent where nothing is unread
//   presence             dot on the avatar of a direct conversation (list and head); data-online = true | false
//   notify               button for the browser's notifications; aria-pressed
//   skip                 the first stop of the tab key: to the open conversation
//   new-conversation     button; opens a dialog with person (data-user-id), people-filter, new-group, new-announcement and
//                        cancel; the latter two lead to new-title, new-joined, person as a box to tick, and create
//   switch-user          link back to the first page
//   conversation-title, subtitle   of the open conversation; back: to the list (narrow screens)
//   participants         button in the head of a conversation of many, about in that of a direct one; both open about-panel
//   about-panel          participant (data-user-id, data-role) with participant-more, which unfolds make-admin, make-member,
//                        make-observer, remove; participants-filter, add-people, rename (a dialog with line), leave,
//                        delete-conversation; level-all, level-mentions, level-none (aria-checked), mute-hour, mute-night,
//                        mute-forever, muted, unmute; its own cancel closes it (that of a dialog over it: within #dialog)
//   reader               in the dialog of who has read a message; data-user-id, data-read
//   pane                 the scrolling history; load-older: button at its top, while there are older ones; jump: to the end
//   message              a row; data-message-id and data-seq (absent while pending or failed), data-own="true" on own ones,
//                        data-state on own ones = pending | sent | read | failed, data-read-by = none | some | all on those
//                        that were sent, data-deleted="true" on tombstones, data-type="system" on system messages; only rows
//                        near the view are in the document
//   message-content      the text of a row
//   message-edit, message-delete   buttons of own rows (shown on hover, focus or tap); deleting opens a dialog: confirm, cancel
//   message-reply, message-react, message-readers   more of them; reacting shows reaction-choice (data-emoji)
//   reaction             a reaction under a row; data-emoji, aria-pressed where it is known whether it is one's own
//   quotation            in a row that answers another one; data-reply-to
//   message-error, message-retry, message-discard   of a row that failed
//   typing               line above the composer, hidden while nobody types
//   picture              a picture on a message, which opens it: viewer, with download; data-state = waiting | shown | broken
//   file                 any other upload on a message: loads it down
//   attach, attach-files   button and the field behind it; tray: above the field, with tray-file (data-state = waiting | going |
//                        there | failed), tray-remove and tray-retry of each, tray-status; veil: where files can be dropped
//   composer, send       field and button; editing, replying: shown above the field while a message is edited or answered;
//                        composer-cancel: its button; composer-closed: why one may not write
//   frames-toggle, frames-close   open and close the developer's panel
//   network-cut          its switch; aria-checked="true" while cut; resume-summary: what the last coming back did
//   connection-facts     unfolds what is known of the connection
//   frames-filter, frames-pause, frames-clear, frame   the raw frames, newest first; a frame has data-direction = in | out and
//                        data-type; its text holds the JSON
//   toast                something told in passing; toast-action: its button

import { About } from "./about.js";
import { portrait } from "./avatar.js";
import { MessengerClient } from "./client/index.js";
import { create, direct } from "./client/manage.js";
import { shareTabs } from "./client/tabs.js";
import { Composer } from "./composer.js";
import { Developer } from "./developer.js";
import { confirm, renderDialog, toast } from "./dialogs.js";
import { byId, fill, h, icon, write } from "./dom.js";
import { Drafts } from "./drafts.js";
import { takeFiles } from "./drop.js";
import { Gate } from "./gate.js";
import { TabToken, forgetToken } from "./identity.js";
import { ConversationList, preview } from "./list.js";
import { newConversation } from "./newtalk.js";
import { Notifier } from "./notify.js";
import { Pane } from "./pane.js";
import { shownAddress } from "./picture.js";
import { StatusLine, stoppedWords } from "./status.js";
import { refused, say, sayAll } from "./words.js";

const NARROW = matchMedia("(max-width: 760px)");
// No room for two panels side by side: the one opened last is shown.
const ONE_PANEL = matchMedia("(max-width: 1500px)");
const USER = /^[1-9]\d{0,15}$/;
const CONVERSATION = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
// The server tells of no more people in one question.
const MOST_WATCHED = 500;
const TICK_MS = 1_000;
const TIMES_MS = 30_000;
// The server wants no more of this token; another one may do.
const OTHER_TOKEN = new Set(["token_invalid", "token_missing", "token_expired"]);

sayAll(document);
document.title = say("app.name");
const gate = new Gate(byId("language-home"));
start();

async function start() {
  let config;
  try {
    const response = await fetch("demo/config.json");
    if (!response.ok) throw new Error(response.statusText);
    config = await response.json();
  } catch {
    const again = { action: say("app.tryAgain"), run: () => location.reload() };
    gate.showTrouble({ title: say("app.notAvailable"), words: say("app.noAnswer"), ...again });
    return;
  }
  const user = new URLSearchParams(location.search).get("user");
  if (config.auth === "off" && !USER.test(user ?? "")) gate.showUsers(config.users);
  else run(config, user);
}

/** The chat, as `user` (text as in the address, or null: whomever the token names). */
function run({ auth, users = [], max_attachment_bytes: mostBytes = null }, user) {
  const isOpenToAll = auth === "off";
  const tokens = new TabToken({
    ask: (reason, later) =>
      asked(gate.askToken(reason, later, client.me?.id ?? (USER.test(user ?? "") ? user : undefined))),
    offer: (action) => toast(say("gate.token_expiring"), { action: say("gate.renew"), run: action, lasting: true }),
  });
  const client = new MessengerClient({
    userId: user ?? "me",
    getToken: isOpenToAll ? undefined : tokens.getToken,
    connect: shareTabs,
    words: {
      person: (id) => say("names.user", { id }),
      direct: say("names.direct"),
      group: say("names.conversation"),
      andMore: (names, count) => say("names.andMore", { names, count }),
    },
  });
  const trouble = (error) => toast(refused(error));
  const drafts = new Drafts();
  const developer = new Developer(client, user);
  const status = new StatusLine({ nudge: () => client.nudge(), resume: () => client.resume() });
  const open = (id) => (location.hash = id);

  const pane = new Pane(client, {
    edit: (row) => composer.edit(row),
    reply: (row) => composer.reply(row),
    remove: async (row) => {
      const words = { title: say("message.deleteTitle"), words: say("message.deleteWords") };
      if (!(await confirm({ ...words, action: say("message.deleteDo") }))) return;
      client.remove(row.id).catch(trouble);
    },
    retry: (key) => client.retry(key),
    discard: (key) => client.discard(key),
    trouble,
    tell: toast,
  });
  const composer = new Composer({
    client,
    drafts,
    form: byId("composer-form"),
    ontrouble: trouble,
    ontold: toast,
    mostBytes,
    onsend: () => pane.sent(),
  });
  takeFiles({
    target: byId("conversation"),
    isOpen: () => composer.takesFiles && !byId("dialog").open,
    onfiles: (files) => composer.attach(files),
  });
  const startTalk = async () => {
    const release = client.watchPresence(
      everybody()
        .slice(0, MOST_WATCHED)
        .map(({ id }) => id),
    );
    const chosen = await newConversation({ read: everybody, create: (wanted) => create(client, wanted) });
    release();
    if (chosen?.conversationId) open(chosen.conversationId);
    else if (chosen !== null) direct(client, chosen.userId).then(open, trouble);
  };
  const list = new ConversationList({
    client,
    onopen: open,
    onnew: startTalk,
    draftOf: (id) => drafts.get(id),
  });
  const about = new About({ client, everybody, ongone: () => (location.hash = "") });
  about.onopen = () => ONE_PANEL.matches && developer.open(false);
  developer.onopen = () => ONE_PANEL.matches && about.close();
  ONE_PANEL.addEventListener("change", () => about.isOpen && about.onopen());
  const notifier = new Notifier({ user: user ?? "me", describe, onopen: open, ontrouble: toast });

  // Whom one can talk with: everybody of whom this device has heard, and the demo's people.
  function everybody() {
    const me = client.me?.id ?? Number(user);
    const people = new Map(
      users.filter(({ id }) => id !== me).map(({ id, name }) => [id, { id, name, avatar_url: null }]),
    );
    for (const person of client.people())
      if (!people.has(person.id) || person.name !== say("names.user", { id: person.id })) people.set(person.id, person);
    const presence = client.presence([...people.keys()]);
    return [...people.values()].map(({ id, name, avatar_url }) => ({
      id,
      name,
      picture: avatar_url,
      online: presence[id]?.online ?? null,
    }));
  }

  function describe({ conversation_id, message_id }) {
    const summary = client.conversations().find(({ id }) => id === conversation_id);
    if (summary === undefined) return null;
    const { by = "", text } =
      summary.lastMessage?.id === message_id ? preview(client, summary) : { text: say("notify.message") };
    return { title: summary.title, body: by + text, picture: shownAddress(summary.peer?.avatar_url, document.baseURI) };
  }

  // Everything is drawn from the state as it is; notices in between are drawn together. A timer and not an animation frame:
  // the title counts the unread in a hidden tab as well.
  let drawing = null;
  let ticking = null;
  const draw = () => {
    drawing ??= setTimeout(() => {
      drawing = null;
      const counting = status.render(client.status, { asking: gate.isOpen, isOpen: pane.id !== null, redraw: draw });
      const conversation = pane.id === null ? null : client.conversation(pane.id);
      if (conversation?.status === "gone") leaveGone();
      list.render(pane.id);
      pane.render();
      composer.render(conversation);
      about.render(conversation);
      developer.render();
      renderMe(client, user);
      renderDialog();
      for (const { id, unread } of notifier.shown.size > 0 ? client.conversations() : [])
        if (unread === 0) notifier.read(id);
      if (counting) ticking ??= setTimeout(() => ((ticking = null), draw()), TICK_MS);
    });
  };
  for (const topic of ["status", "me", "conversations", "people"]) client.on(topic, draw);
  drafts.onchange = draw;

  client.on("me", () => drafts.enter(client.me.id));
  client.on("trouble", trouble);
  client.on("notification", (frame) => notifier.told(frame));
  client.on("status", () => {
    const { state, reason } = client.status;
    if (state === "waiting" && reason === "token_expired") tokens.expire();
    if (state !== "stopped") return;
    if (!isOpenToAll && OTHER_TOKEN.has(reason)) {
      tokens.refuse(reason);
      client.start();
    } else
      gate.showTrouble({
        title: say("stopped.title"),
        words: stoppedWords(reason),
        action: say("stopped.startOver"),
        run: startOver,
      });
  });

  // What the gate shows is part of the connection's state.
  function asked(answer) {
    draw();
    return answer.finally(draw);
  }

  // It went while we looked, or never was.
  function leaveGone() {
    if (about.leaving !== pane.id) toast(say("pane.gone"));
    location.replace("#");
  }

  // The address says what is open, so that a reload and the browser's own buttons do what one expects.
  let started = false;
  let cameFromList = false;
  let unlisten = () => {};
  const show = () => {
    const wanted = location.hash.slice(1) || null;
    if (wanted !== null && !CONVERSATION.test(wanted)) {
      trouble({ code: "invalid_conversation_id" });
      location.replace("#");
      return;
    }
    const id = wanted?.toLowerCase() ?? null;
    const former = pane.id;
    if (id === former) return;
    cameFromList = former === null && id !== null && started;
    byId("app").dataset.screen = id === null ? "list" : "chat";
    unlisten();
    if (id !== null) unlisten = client.on(`conversation:${id}`, draw);
    pane.show(id);
    composer.show(id);
    draw();
    // In a field the keyboard of a phone would jump up at once.
    if (id !== null && !NARROW.matches) composer.focus();
    else if (NARROW.matches && started) {
      if (id === null) list.focus(former);
      else byId("back").focus({ preventScroll: true });
    }
  };
  addEventListener("hashchange", show);
  byId("back").addEventListener("click", () => (cameFromList ? history.back() : (location.hash = "")));
  byId("new-conversation").addEventListener("click", startTalk);
  byId("switch-user").addEventListener("click", (event) => {
    event.preventDefault();
    startOver();
  });
  byId("skip").addEventListener("click", () => (pane.id === null ? byId("filter").focus() : composer.focus()));
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || !(event.ctrlKey || event.metaKey) || event.shiftKey || event.altKey) return;
    event.preventDefault();
    if (!byId("dialog").open && !gate.isOpen && byId("search").offsetParent) list.search();
  });
  document.addEventListener("visibilitychange", () => document.visibilityState === "visible" && pane.read());
  setInterval(() => {
    list.renderTimes();
    draw();
  }, TIMES_MS);

  fill(byId("new-conversation"), icon("plus"));
  fill(byId("switch-user"), icon("leave"));
  if (!isOpenToAll) byId("switch-user").ariaLabel = byId("switch-user").title = say("list.signOut");
  fill(byId("back"), icon("back"));
  fill(byId("participants"), icon("people"));
  fill(byId("about-open"), icon("info"));
  fill(
    byId("nothing-open"),
    h("span", { class: "nothing-mark" }, icon("chat")),
    h("p", { class: "none-words" }, say("pane.nothing")),
    h("p", {}, say("pane.nothingHint")),
  );
  gate.close();
  byId("app").hidden = false;
  show();
  started = true;
  draw();
  client.start();
}

/** As somebody else: forget who we are, and begin at the first page. */
function startOver() {
  forgetToken();
  location.assign(new URL("./", document.baseURI));
}

function renderMe(client, user) {
  const id = client.me?.id ?? Number(user);
  const person = client.me ?? (id > 0 ? client.person(id) : null);
  write(byId("me-name"), person?.name ?? "");
  const face = byId("me-avatar");
  const look = JSON.stringify(person);
  if (person !== null && face.dataset.look !== look) {
    face.dataset.look = look;
    fill(face, portrait(person));
  }
  const unread = client.unreadTotal();
  const title = (unread > 0 ? `(${unread}) ` : "") + [person?.name, say("app.name")].filter(Boolean).join(" · ");
  if (document.title !== title) document.title = title;
}
