// What the three pages beside the chat share: their words, the daemon's REST, and where things are. A page is session.html,
// socketio.html or room.html, in this folder; it speaks another dialect than the chat does, and knows nothing of client/'s frames.
//
// Stable hooks for end-to-end tests (`data-testid`), the same on all three:
//
//   way                  link to a page; aria-current="page" on the one that is open
//   door                 the forms before a room: join-code, nickname, do-join; host or token, session-title, own-code, do-open;
//                        on room.html room-id, name, enter; refusal: why one did not get in
//   room-title           heading of the open room
//   connection           data-status = connecting | online | waiting | stopped
//   banner               across the room while there is no connection, and once it is over; start-over: its button
//   message              in the log; data-own="true" on own ones, data-kind = text | question | …; sender, message-content
//   note                 in the log: what the page itself tells
//   composer, send       field and button; ask: sends it as a question (session.html); trouble: what the server refused
//   typing               line above the composer, hidden while nobody types
//   code, link, copy     how others come in
//   slide, slide-back, slide-next   what the presenter shows; the buttons are the host's
//   person               somebody who is here; others: how many more
//   question             data-answered = true | false; mark: the host's button
//   close, leave         the session, for everybody; the room, for oneself
//   transport            the choice between websocket and polling (socketio.html); count, history: what the server counts

import { RequestError, failure } from "./client/requests.js";
import { byId, fill, h, write } from "./dom.js";
import { languageSwitch } from "./language.js";
import { say, sayAll } from "./words.js";

/** Where something of the daemon's is: the page lies one folder below its root. */
export const address = (path) => new URL(`../${path}`, document.baseURI);

/** Fill in the words, and the switch of the language. */
export function furnish(title) {
  sayAll(document);
  document.title = `${say(title)} · ${say("app.name")}`;
  byId("language-home").append(languageSwitch());
}

/**
 * One REST call below /api/v1, `as` a token's bearer, a user by his id where authentication is off, or null: nobody. Resolves with
 * what is answered, and rejects with a RequestError.
 */
export async function call(as, method, path, body) {
  const headers = {
    ...(as?.token && { Authorization: `Bearer ${as.token}` }),
    ...(as?.userId && { "X-User-Id": String(as.userId) }),
    ...(body && { "Content-Type": "application/json" }),
  };
  const response = await fetch(address(`api/v1/${path}`), {
    method,
    headers,
    body: body && JSON.stringify(body),
  }).catch(() => {
    throw failure("unreachable");
  });
  const answer = await response.json().catch(() => undefined);
  // Whoever answers without a code is no daemon: something in between.
  if (!response.ok)
    throw new RequestError(answer?.code ? answer : { code: response.status < 500 ? "refused" : "unavailable" });
  if (answer === undefined) throw failure("unreachable");
  return answer;
}

/** What the page has to know: whether authentication is on, and whom there is to choose from where it is off. */
export async function config() {
  const response = await fetch("config.json").catch(() => null);
  if (!response?.ok) throw failure("unreachable");
  return response.json();
}

/** Something of this tab's, under a name: a reload keeps it. Null takes it away. */
export function keep(name, value) {
  if (value === null) sessionStorage.removeItem(name);
  else sessionStorage.setItem(name, JSON.stringify(value));
}

/** What was kept under a name; null where that is nothing. */
export function kept(name) {
  try {
    return JSON.parse(sessionStorage.getItem(name));
  } catch {
    return null;
  }
}

/** Offer the address of a room to those who are to come: a link, and a button that copies it. */
export function offer(link, button, status, href) {
  link.href = href;
  link.textContent = href;
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(href);
      status.textContent = say("live.copied");
    } catch {
      // No leave to do so: it is marked for whoever copies it himself.
      getSelection().selectAllChildren(link);
    }
  };
}

/** The door is behind us: show the room. */
export function showRoom(title) {
  byId("door").replaceChildren();
  byId("door").hidden = true;
  byId("room").hidden = false;
  write(byId("title"), title);
}

/** `status`: connecting, online, waiting or stopped. */
export function showStatus(status) {
  byId("connection").dataset.status = status;
  write(byId("connection"), say(`status.${status}`));
  const isAway = status === "waiting";
  if (status !== "stopped")
    fill(byId("banner"), isAway && h("span", {}, say("banner.none"), " ", say("status.waiting")));
  byId("banner").hidden = !isAway && status !== "stopped";
}

/** It is over, and why: what was said stays to be read. */
export function showOver(words) {
  showStatus("stopped");
  fill(
    byId("banner"),
    h("span", {}, words),
    h("a", { class: "text-button", href: location.pathname, "data-testid": "start-over" }, say("stopped.startOver")),
  );
}

/** Parts that fold begin unfolded where there is room for them. */
export function unfold(root) {
  const isWide = !matchMedia("(max-width: 860px)").matches;
  for (const part of root.querySelectorAll("details")) part.open = isWide;
}
