import assert from "node:assert/strict";
import { test } from "vitest";

import { Log } from "../client/log.js";
import { C, ModelConversation, chance } from "./fakes.js";

const ME = 1;

// Design invariant 3: whatever a lossy, reordering, repeating bus does, snapshot plus events equals a fresh snapshot.
test("snapshot plus events, lost, repeated and reordered, plus sync equals a fresh snapshot", () => {
  for (let seed = 1; seed <= 1000; seed += 1) {
    const random = chance(seed);
    const upTo = (n) => Math.floor(random() * n);
    const model = new ModelConversation();
    const alter = () => {
      const roll = random();
      if (roll < 0.5 || model.lastSeq === 0) model.add(1 + upTo(3));
      else if (roll < 0.8) model.edit(1 + upTo(model.lastSeq));
      else model.delete(1 + upTo(model.lastSeq));
    };
    for (let i = upTo(40); i > 0; i -= 1) alter();

    const log = new Log(C, ME);
    log.begin({ last_change: model.lastChange, last_message: model.lastSeq ? { ...model.rows.at(-1) } : null });
    let told = model.events.length;
    let lastRead = 0;
    log.count({ unread_count: model.unread(ME, 0), last_seq: model.lastSeq, last_change: model.lastChange });
    const pages = [() => log.applyHistory(model.history({ limit: 5 }))];
    for (let step = 0; step < 60; step += 1) {
      alter();
      const roll = random();
      if (roll < 0.25)
        told = model.events.length; // lost, all of them
      else if (roll < 0.35) model.folded(log.cursor).forEach((event) => log.apply(event));
      else if (roll < 0.45) log.apply(model.events[upTo(model.events.length)]);
      else while (told < model.events.length) log.apply(model.events[told++]);
      if (random() < 0.3 && log.lowest !== null) {
        // An older page is read now and arrives later.
        const page = model.history({ before_seq: log.lowest, limit: 5 });
        const { generation, lowest } = log;
        pages.push(() => log.generation === generation && log.lowest === lowest && log.applyHistory(page));
      }
      if (random() < 0.4) pages.shift()?.();
      if (random() < 0.1 && log.messages.length > 0 && log.cursor === model.lastChange) {
        const { seq } = log.messages[upTo(log.messages.length)];
        lastRead = Math.max(lastRead, seq);
        log.read(ME, lastRead, model.unread(ME, lastRead));
      }
      if (!log.whole || random() < 0.1) {
        let part;
        do {
          part = model.sync(log.cursor, { limit: 1 + upTo(6), lastRead, behind: seed % 3 ? 1000 : 8 });
          log.applySync(part);
        } while (part.more);
        log.wanted = 0;
      }
      if (log.cursor === model.lastChange) {
        assert.equal(log.unread, model.unread(ME, lastRead), `seed ${seed}, step ${step}: unread`);
      }
    }
    log.applySync(model.sync(log.cursor, { lastRead }));
    pages.forEach((page) => page());

    assert.equal(log.cursor, model.lastChange, `seed ${seed}: cursor`);
    const fresh = model.rows.filter(({ seq }) => log.lowest !== null && seq >= log.lowest);
    assert.deepEqual(log.messages, fresh, `seed ${seed}: log`);
    assert.equal(log.unread, model.unread(ME, lastRead), `seed ${seed}: unread`);
  }
});
