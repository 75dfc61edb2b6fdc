// One connection for all tabs of one user in one browser. The tab that holds a Web Lock leads: it has the socket, and the
// others hear and speak through it by a BroadcastChannel. Whoever dies or is closed loses his locks at once, and so the next
// one leads. Each tab keeps its own state, asks its own questions, and gets the answers to them alone.

import { below, randomId } from "./address.js";
import { LATE_MS, surroundings } from "./clock.js";
import { Connection, Line } from "./connection.js";

/** @import { LineParts as Parts } from "./connection.js" */
/** @import { Frame, Status } from "./types.js" */

/**
 * What tabs say to each other; `to` is null where it is for all. A tab's name is another one each time that it joins. A leader
 * counts what it says, so that whoever has missed something knows.
 *
 * @typedef {{from: string, to: string | null, n?: number} & (Asked | Told)} Word
 * @typedef {{is: "join"} | {is: "here?"} | {is: "nudge"} | {is: "send", frame: Frame}} Asked  To the leader.
 * @typedef {{is: "lead"} | {is: "gone"} | {is: "here"} | {is: "state", status: Status, hello: Frame | null}
 *   | {is: "frame" | "wire", frame: Frame}} Told  By the leader. `frame` came from the server, `wire` went there.
 */

/** @typedef {Parts & {locks?: LockManager, BroadcastChannel?: typeof globalThis.BroadcastChannel}} SharedParts */

// A leader that does not answer for so long is frozen, or hangs.
const PATIENCE_MS = 4_000;
// Without a word of the leader for so long it is asked whether it is there.
const QUIET_MS = 10_000;
// The others hear that the leader was stopped before its place is free.
const FAREWELL_MS = 1_000;

/** Whether tabs can share here: not without TLS, and not on a server. */
export const canShare = () => Boolean(globalThis.navigator?.locks && globalThis.BroadcastChannel);

/**
 * For MessengerClient's `connect`: one connection for all tabs of this user in this browser, where there can be one. Tabs of `me`
 * have one each: they may be of different people.
 *
 * @param {Parts} parts
 * @returns {Line}
 */
export const shareTabs = (parts) =>
  parts.userId !== "me" && canShare() ? new SharedConnection(parts) : new Connection(parts);

const isHidden = () => globalThis.document?.hidden;

/** The same face as Connection (connection.js). */
export class SharedConnection extends Line {
  #scope = "";

  #tab = "";
  /** Ends our membership, and every lock with it. @type {AbortController | null} */
  #member = null;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** Whom we follow. @type {string | null} */
  #followed = null;
  /** What we do where we lead. @type {Leader | null} */
  #leader = null;
  #heardAt = 0;
  // The number of the leader's last word.
  #n = 0;
  // When the leader was asked whether it is there, milliseconds since 1970; 0 while it was not.
  #askedAt = 0;
  #cancel = () => {};
  #leave = () => {};

  /** True does not say that it was sent: a leader may die with it. @override @param {Frame} frame */
  send(frame) {
    if (!this.online) return false;
    // Exactly what JSON would make of it: not everything that is written so can be posted.
    const named = JSON.parse(JSON.stringify({ ...frame, ref: `${this.#tab}.${frame.ref ?? ""}` }));
    this.#say({ is: "send", frame: named });
    this.#doubt();
    return true;
  }

  /** @override */
  nudge() {
    this.#say({ is: "nudge" });
    this.#doubt();
  }

  /** @protected @override */
  begin(isRobber = false) {
    this.end();
    const { url, userId, BroadcastChannel = globalThis.BroadcastChannel } = /** @type {SharedParts} */ (this.parts);
    // Short: with it a ref may have no more than 64 characters.
    const tab = (this.#tab = randomId().slice(0, 9));
    this.#member = new AbortController();
    // Whoever speaks otherwise, as another version of this may, speaks elsewhere.
    this.#scope = `messenger.v1:${below(url, `ws/${userId}`)}`;
    this.#channel = new BroadcastChannel(this.#scope);
    this.#channel.onmessage = ({ data }) => this.#heard(data);
    this.#leave = surroundings(
      this.clock,
      (why) => {
        if (this.#member === null) this.begin();
        else if (why !== "offline") this.nudge();
      },
      () => this.clock.now() - this.#heardAt >= QUIET_MS && this.#doubt(),
      // A page that is frozen still hears what tabs say, and nothing of its socket: it would lead, and lead nowhere.
      () => {
        this.#quit();
        this.become("connecting");
      },
    );
    this.become("connecting");
    // Held as long as we live, so that the leader notices when we do not. Where locks are forbidden everybody is alone.
    const alone = () => this.#lead();
    this.#hold(`:${tab}`, {}, alone, () => {
      const robbed = () => this.begin();
      this.#hold("", { steal: isRobber }, robbed, () => this.#lead());
      this.#follow(this.#followed);
    });
  }

  /** @protected @override */
  end() {
    this.#quit();
    this.#leave();
  }

  #quit() {
    if (this.#leader !== null) {
      this.#leader.close();
      this.#post({ from: this.#tab, to: null, is: "gone" });
    }
    this.#leader = this.#followed = null;
    this.#member?.abort();
    this.#member = null;
    this.#channel?.close();
    this.#channel = null;
    this.#trust();
  }

  /**
   * Hold a lock, once it is ours, as long as we are a member. `lost`: it was taken from us, or cannot be had here.
   *
   * @param {string} name
   * @param {LockOptions} options
   * @param {() => void} lost
   * @param {() => void} run
   */
  #hold(name, options, lost, run) {
    const { locks = navigator.locks } = /** @type {SharedParts} */ (this.parts);
    const { signal } = /** @type {AbortController} */ (this.#member);
    locks
      .request(this.#scope + name, options.steal ? options : { ...options, signal }, async () => {
        if (signal.aborted) return;
        run();
        await new Promise((resolve) => signal.addEventListener("abort", resolve));
      })
      .catch(() => signal.aborted || lost());
  }

  /** @param {Word} word */
  #post(word) {
    this.#channel?.postMessage(word);
  }

  // To the leader, who may be ourselves. Without one it is for whoever takes himself for one.
  /** @param {Asked} asked */
  #say(asked) {
    const word = { from: this.#tab, to: this.#followed, ...asked };
    if (this.#leader !== null) this.#leader.take(word);
    else this.#post(word);
  }

  #lead() {
    const tab = this.#tab;
    this.#trust();
    this.become("connecting");
    this.#followed = tab;
    const connection = new Connection(this.parts);
    connection.onwire = (direction, frame) => {
      this.onwire(direction, frame);
      if (direction === "out") leader.tell(null, { is: "wire", frame });
    };
    const leader = (this.#leader = new Leader(tab, connection, {
      post: (word) => this.#post(word),
      hear: (word) => this.#told(word),
      outlive: (other, gone) => this.#hold(`:${other}`, { mode: "shared" }, () => {}, gone),
    }));
    this.#post({ from: tab, to: null, is: "lead" });
    connection.start();
  }

  /** @param {Word} word */
  #heard(word) {
    if (this.#leader !== null) this.#leader.take(word);
    else this.#told(word);
  }

  /** @param {Word} word */
  #told(word) {
    if (word.is === "lead") return this.#follow(word.from);
    // The answer to our joining.
    if (word.is === "state" && this.#followed === null) this.#followed = word.from;
    if (word.from !== this.#followed) return;
    if (word.is === "gone") return this.#follow(null);
    const isOurs = word.to === null || word.to === this.#tab;
    this.#heardAt = this.clock.now();
    this.#trust();
    const isNext = word.n === ++this.#n;
    this.#n = word.n ?? 0;
    // What was missed, as by a tab that slept, is for `sync` to bring, as after a connection that was lost.
    if (!isNext && this.#leader === null) {
      if (word.is !== "state" || !isOurs) return this.#follow(word.from);
      this.become("connecting");
    }
    if (word.is === "wire") {
      if (this.#leader === null) this.onwire("out", word.frame);
    } else if (word.is === "frame") {
      if (this.#leader === null) this.onwire("in", word.frame);
      if (isOurs && this.online) this.onframe(this.#without(word.frame));
    } else if (word.is === "state" && isOurs) {
      this.#mirror(word.status, word.hello);
    }
  }

  // What we asked for comes back under the name that it was asked by.
  /** @param {Frame} frame @returns {Frame} */
  #without(frame) {
    const { ref, ...bare } = frame;
    const name = `${this.#tab}.`;
    if (typeof ref !== "string" || !ref.startsWith(name)) return frame;
    const own = ref.slice(name.length);
    return /** @type {Frame} */ (own ? { ...bare, ref: own } : bare);
  }

  /** @param {Status} status @param {Frame | null} hello */
  #mirror({ state, reason, retryAt }, hello) {
    if (state === "online" && this.online) return;
    if (state === "stopped") {
      if (this.#leader === null) this.end();
      else this.#cancel = this.clock.after(FAREWELL_MS, () => this.end());
    }
    this.become(state, reason, retryAt);
    if (hello !== null && this.online) this.onopen(hello);
  }

  /** @param {string | null} leader */
  #follow(leader) {
    this.#followed = leader;
    this.become("connecting");
    this.#say({ is: "join" });
    this.#doubt();
  }

  // Is the leader there? Only who is looked at robs him: only he is in a hurry.
  #doubt() {
    if (this.#member === null || this.#leader !== null || this.#askedAt > 0) return;
    this.#askedAt = this.clock.now();
    this.#say({ is: "here?" });
    this.#cancel = this.clock.after(PATIENCE_MS, () => {
      const isLate = this.clock.now() - this.#askedAt > PATIENCE_MS + LATE_MS;
      this.#askedAt = 0;
      if (isLate) this.#doubt();
      else if (!isHidden()) this.begin(true);
    });
  }

  #trust() {
    this.#askedAt = 0;
    this.#cancel();
  }
}

/** What the leading tab does for all, itself included. */
class Leader {
  #tab;
  #connection;
  #out;
  #tabs;
  #said = 0;
  /** @type {Frame | null} */
  #hello = null;
  /** Conversation id → the tabs that follow it. @type {Map<string, Set<string>>} */
  #followers = new Map();

  /**
   * @param {string} tab
   * @param {Connection} connection
   * @param {object} out
   * @param {(word: Word) => void} out.post  To the other tabs.
   * @param {(word: Word) => void} out.hear  To our own.
   * @param {(tab: string, gone: () => void) => void} out.outlive
   */
  constructor(tab, connection, out) {
    this.#tab = tab;
    this.#connection = connection;
    this.#out = out;
    this.#tabs = new Set([tab]);
    connection.onstatus = ({ state }) => {
      // That we are online is told with the hello.
      if (state === "online") return;
      this.#followers.clear();
      this.#state(null);
    };
    connection.onopen = (hello) => {
      this.#hello = hello;
      this.#state(null);
    };
    // An answer is for the tab with whose name its ref begins.
    // What the host application says is for all, whatever stands in it.
    connection.onframe = (frame) => {
      const isForAll = String(frame.type).startsWith("app.") || typeof frame.ref !== "string";
      this.tell(isForAll ? null : frame.ref.split(".")[0], { is: "frame", frame });
    };
  }

  close() {
    const silent = () => {};
    Object.assign(this.#connection, { onstatus: silent, onopen: silent, onframe: silent, onwire: silent });
    this.#connection.suspend();
  }

  /** @param {Word} word */
  take(word) {
    const { from } = word;
    if ((word.to ?? this.#tab) !== this.#tab || this.#connection.status.state === "stopped") return;
    if (word.is === "join") this.#join(from);
    else if (word.is === "here?") this.tell(from, { is: "here" });
    else if (word.is === "nudge") this.#connection.nudge();
    else if (word.is === "send") this.#send(from, word.frame);
  }

  /** @param {string | null} to @param {Told} told */
  tell(to, told) {
    const word = { from: this.#tab, to, ...told };
    // Alone there is nobody to post it to; who is about to join will be told.
    if (to !== this.#tab && this.#tabs.size > 1) this.#out.post({ ...word, n: ++this.#said });
    if ((to ?? this.#tab) === this.#tab) this.#out.hear(word);
  }

  /** @param {string | null} to */
  #state(to) {
    this.tell(to, { is: "state", status: this.#connection.status, hello: this.#hello });
  }

  /** @param {string} tab */
  #join(tab) {
    if (!this.#tabs.has(tab)) this.#out.outlive(tab, () => this.#forget(tab));
    this.#tabs.add(tab);
    this.#state(tab);
  }

  /** @param {string} tab */
  #forget(tab) {
    this.#tabs.delete(tab);
    for (const conversation_id of this.#followers.keys())
      this.#send(tab, { type: "unsubscribe", conversation_id, ref: `${tab}.` });
  }

  // The server hears of the last tab that ends to follow; every one that begins wants its own answer.
  /** @param {string} tab @param {Frame} frame */
  #send(tab, frame) {
    const { type, conversation_id, ref } = frame;
    const followers = this.#followers.get(conversation_id) ?? new Set();
    if (type === "subscribe") this.#followers.set(conversation_id, followers.add(tab));
    if (type === "unsubscribe") {
      followers.delete(tab);
      if (followers.size > 0) {
        this.tell(tab, { is: "frame", frame: { type: "unsubscribed", conversation_id, ref } });
        return;
      }
      this.#followers.delete(conversation_id);
    }
    this.#connection.send(frame);
  }
}
