// Brings every log up to date by `sync` (protocol.md §4 and §8).

/** @import { Messenger } from "./messenger.js" */

import { tooLarge } from "./requests.js";

/** One question and what comes of it; another one follows as long as it helps. @param {Messenger} messenger */
export async function catchUp(messenger) {
  const { conversations, directory, requests, rest } = messenger;
  const before = progress(messenger);
  const { cursors } = conversations;
  const frame = { type: "sync", cursors };
  // The cursors of very many conversations fit into no frame.
  const ask = () => (tooLarge(frame) ? rest.call("POST", "sync", { cursors }) : requests.ask(frame));
  const answer = await requests.insist(ask);
  const isAllSaid = messenger.caughtUp(answer);
  if (!isAllSaid) await directory.refresh();
  const missing = [...conversations].filter(({ log }) => !log.whole);
  if (!answer.more && isAllSaid && missing.length === 0) return;
  if (progress(messenger) !== before) messenger.catchUp();
  // The database knows of nothing more, and it is the truth.
  else for (const { log } of missing) log.wanted = 0;
}

// A number that differs whenever some log went forward, or another one came.
/** @param {Messenger} messenger */
const progress = ({ conversations }) =>
  [...conversations].reduce((sum, { log }) => sum + 1 + log.cursor + log.generation, 0);
