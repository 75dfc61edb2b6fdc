// Reads the frames that pass for what a reconnect did: what was asked with which cursors, how many changes came, what of the
// outgoing queue was sent. Pure: time comes in with each frame.

// What is sent within this time after the hello, or while such a one is unanswered, waited in the queue.
const QUEUE_MS = 1_500;
// Frames of a resume come within this time; later ones are everyday life.
const EPISODE_MS = 10_000;

/**
 * @typedef {object} Episode  One coming back.
 * @property {number|null} awayMs  How long there was no connection.
 * @property {number} at @property {Record<string, number>} cursors  As asked, by conversation.
 * @property {number} asked  How often `sync` was asked. @property {number} answered
 * @property {number} changes @property {number} conversations  In how many of them. @property {number} resets
 * @property {number} sent  Of the queue. @property {number} acknowledged @property {number} duplicates
 */

export class Resume {
  #goneAt = null;
  #wasOnline = false;
  #underway = new Set();
  #queued = new Set();
  /** @type {Episode|null} The latest coming back; null before there was one. */
  latest = null;

  /** There is no connection any more. */
  gone(now) {
    if (!this.#wasOnline) return;
    this.#wasOnline = false;
    this.#goneAt = now;
  }

  /** One frame. Returns whether `latest` tells something else now. */
  take(direction, frame, now) {
    if (direction === "in" && frame.type === "system" && frame.event === "connected") return this.#back(now);
    const { latest } = this;
    if (latest === null || now - latest.at > EPISODE_MS) return false;
    const does = { "out sync": this.#asked, "in sync": this.#told, "out message.send": this.#sent }[
      `${direction} ${frame.type}`
    ];
    if (does !== undefined) return does.call(this, frame, now);
    return direction === "in" && frame.type === "message.sent" && this.#acknowledged(frame);
  }

  #back(now) {
    const first = this.#goneAt === null;
    this.#wasOnline = true;
    this.#underway.clear();
    this.#queued.clear();
    if (first) return false;
    this.latest = {
      ...{ awayMs: now - this.#goneAt, at: now, cursors: {}, asked: 0, answered: 0, changes: 0, conversations: 0 },
      ...{ resets: 0, sent: 0, acknowledged: 0, duplicates: 0 },
    };
    return true;
  }

  #asked({ cursors }) {
    const { latest } = this;
    // Asked again for what did not fit, it is the same question.
    if (latest.asked === 0) latest.cursors = cursors;
    latest.asked += 1;
    return true;
  }

  #told({ conversations }) {
    const { latest } = this;
    latest.answered += 1;
    for (const { changes, reset } of conversations) {
      // What waited in the queue was committed meanwhile: it was not missed.
      const missed = changes.filter(({ client_id }) => !this.#queued.has(client_id)).length;
      latest.changes += missed;
      latest.conversations += missed > 0 ? 1 : 0;
      latest.resets += reset ? 1 : 0;
    }
    return true;
  }

  #sent({ client_id }, now) {
    const { latest } = this;
    if (this.#underway.size === 0 && now - latest.at > QUEUE_MS) return false;
    if (this.#queued.has(client_id)) return false;
    this.#queued.add(client_id);
    this.#underway.add(client_id);
    latest.sent += 1;
    return true;
  }

  #acknowledged({ client_id, duplicate = false }) {
    if (!this.#underway.delete(client_id)) return false;
    this.latest.acknowledged += 1;
    if (duplicate) this.latest.duplicates += 1;
    return true;
  }
}
