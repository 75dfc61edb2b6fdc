// One's place in a live session: who one is there, and by what right. It stays in this tab, so that a reload stays in, and so that
// the same person goes on in the other dialect (session.html, socketio.html).
//
//   code, title   the session's
//   id, nickname  one's own, as a participant
//   isHost
//   as            `{token}` or `{userId}`, for REST and sockets

import { keep, kept } from "./page.js";

const SEAT = "messenger.seat";

/** The seat of this tab; null where there is none, or one in another session than the address names. */
export function seatHeld() {
  const seat = kept(SEAT);
  const wanted = codeWanted();
  return seat !== null && (wanted === "" || wanted === seat.code) ? seat : null;
}

export const take = (seat) => keep(SEAT, seat);
export const giveUp = () => keep(SEAT, null);

/** The code that the page's address names, else an empty text. */
export const codeWanted = () => (new URLSearchParams(location.search).get("code") ?? "").trim().toUpperCase();

/** Where others come in, on this page. */
export const wayIn = ({ code }) => new URL(`?code=${code}`, document.baseURI).href;
