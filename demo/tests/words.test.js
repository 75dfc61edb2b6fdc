// The page's words: in both languages the same ones, all of them used, and none outside the dictionaries.

import { readFileSync, readdirSync } from "node:fs";
import { expect, test } from "vitest";
import { en } from "../words/en.js";
import { ko } from "../words/ko.js";
import { enumerate, refused, say, systemWords } from "../words.js";

const HOME = new URL("../", import.meta.url);
const read = (name) => readFileSync(new URL(name, HOME), "utf8");
const PAGES = readdirSync(HOME).filter((name) => name.endsWith(".html"));
const PAGE = PAGES.map(read).join("\n");
const SOURCES = readdirSync(HOME)
  .filter((name) => name.endsWith(".js"))
  .map((name) => [name, read(name).replace(/\/\*[^]*?\*\/|^\s*\/\/.*$/gm, "")]);

const PLURAL = /\.(zero|one|two|few|many|other)$/;
const stem = (key) => key.replace(PLURAL, "");
const stems = (words) => new Set(Object.keys(words).map(stem));
const params = (text) => new Set([...text.matchAll(/\{(\w+)/g)].map(([, name]) => name));

/** stem → the names of what is filled in, of all forms together. */
function paramsOf(words) {
  const all = {};
  for (const [key, text] of Object.entries(words))
    all[stem(key)] = new Set([...(all[stem(key)] ?? []), ...params(text)]);
  return Object.fromEntries(Object.entries(all).map(([key, names]) => [key, [...names].sort()]));
}

test("there are the chat and three pages beside it", () => {
  expect(PAGES.sort()).toEqual(["index.html", "room.html", "session.html", "socketio.html"]);
});

test("both languages have the same words", () => {
  expect([...stems(ko)].sort()).toEqual([...stems(en)].sort());
});

test("a counted word has a form for each way in which its language counts", () => {
  for (const [language, words] of Object.entries({ en, ko })) {
    const wanted = new Intl.PluralRules(language).resolvedOptions().pluralCategories.sort();
    const forms = {};
    for (const key of Object.keys(words).filter((key) => PLURAL.test(key)))
      (forms[stem(key)] ??= []).push(key.match(PLURAL)[1]);
    for (const [key, got] of Object.entries(forms)) expect([key, got.sort()]).toEqual([key, wanted]);
  }
});

test("both languages tell the same things of each", () => {
  expect(paramsOf(ko)).toEqual(paramsOf(en));
});

// As `say("a.b")`, as `say(`a.${…}`)`, and as data-say… in the page. Of a composed key the part before the first hole has to begin some.
const used = new Set();
const begun = new Set();
for (const [, source] of SOURCES) {
  for (const [, key] of source.matchAll(/"([a-z]\w*(?:\.\w+)+)"/g)) used.add(key);
  for (const [, key] of source.matchAll(/`((?!messenger|bearer)[a-z]\w*(?:\.\w+)*\.)\$\{/g)) begun.add(key);
  for (const [, key] of source.matchAll(/`([a-z]\w*(?:\.\w+)+)\$\{/g)) begun.add(key);
}
for (const [, key] of PAGE.matchAll(/data-say(?:-\w+)?="([^"]+)"/g)) used.add(key);

test("every word that is said is there", () => {
  const known = stems(en);
  const said = new Set([...PAGE.matchAll(/data-say(?:-\w+)?="([^"]+)"/g)].map(([, key]) => key));
  for (const [, source] of SOURCES)
    for (const [, inside] of source.matchAll(/\bsay\(([^]*?)[,)](?=[^"]*(?:"[^"]*"[^"]*)*$)/gm))
      for (const [, key] of inside.matchAll(/"([a-z]\w*(?:\.\w+)+)"/g)) said.add(key);
  expect(said.size).toBeGreaterThan(100);
  expect([...said].filter((key) => !known.has(key))).toEqual([]);
  expect([...begun].filter((start) => ![...known].some((key) => key.startsWith(start)))).toEqual([]);
});

test("every word that is there is said", () => {
  const unsaid = [...stems(en)].filter((key) => !used.has(key) && ![...begun].some((start) => key.startsWith(start)));
  expect(unsaid).toEqual([]);
});

test("nothing that people read stands outside the dictionaries", () => {
  const KEYS =
    /^(Arrow(Up|Down|Left|Right)|Enter|Escape|Files|Home|End|Page(Up|Down)|Tab|Backspace|English|Notification|Bearer …)$/;
  const found = [];
  for (const [name, source] of SOURCES)
    for (const [, double, template] of source.matchAll(/"((?:[^"\\\n]|\\.)*)"|`((?:[^`\\]|\\.)*)`/g)) {
      const text = (double ?? template).replace(/\$\{[^}]*\}/g, "…").trim();
      const isSentence = /^[A-Z][a-z]+( [a-z…]|[.!?…]|$)/.test(text) || /[가-힣]{2}/.test(text);
      if (isSentence && !KEYS.test(text) && !/^[A-Z][a-z]+[A-Z]/.test(text)) found.push(`${name}: ${text}`);
    }
  // Words of a language for itself, and of its script.
  const isOfWords = (line) => line.startsWith("words.js: ") || line.startsWith("match.js: ");
  expect(found.filter((line) => !isOfWords(line))).toEqual([]);

  const visible = PAGE.replace(/<(title|noscript)>[^]*?<\/\1>|<!--[^]*?-->/g, "");
  expect([...visible.matchAll(/>([^<]*[^\s<][^<]*)</g)].map(([, text]) => text)).toEqual([]);
  expect([...visible.matchAll(/ (?:aria-label|title|placeholder|alt)="[^"]*"/g)].map(([text]) => text)).toEqual([]);
});

test("a text is filled in, counted, and never taken for a pattern", () => {
  expect(say("pane.participants", { count: 1 })).toBe("1 participant");
  expect(say("pane.participants", { count: 1200 })).toBe("1,200 participants");
  expect(say("names.by", { name: "$& {count} {name}" })).toBe("$& {count} {name}: ");
  expect(say("names.user", { id: 1000 })).toBe("User 1000");
  expect(say("no.such.key")).toBe("no.such.key");
  expect(enumerate(["Ann", "Ben", "Eve", "Fay"])).toBe("Ann, Ben and 2 others");
});

test("a refusal is told by its code, or else in the server's words", () => {
  expect(refused({ code: "forbidden", message: "Only admins can post here" })).toBe("Only admins can post here");
  expect(refused({ code: "rate_limited", message: "Slow down" })).toBe("That was too fast. Try again in a moment.");
  expect(refused({ code: "invalid_frame", message: "title is too long" })).toBe("title is too long");
});

test("a role has its article, which the server's words have not", () => {
  const metadata = { event: "participant.updated", user_id: 2, name: "Ben", role: "observer", by: 1 };
  const nameOf = () => "Ben";
  expect(systemWords({ content: "Ben is now observer", metadata }, nameOf)).toBe("Ben is now an observer");
  const unknown = { ...metadata, role: "bard" };
  expect(systemWords({ content: "Ben is now bard", metadata: unknown }, nameOf)).toBe("Ben is now bard");
});

test("a system entry without words is told by what it is about", () => {
  const nameOf = (id) => ({ 1: "Ann", 2: "Ben" })[id];
  const metadata = { event: "participant.added", user_id: 2, name: "Ben", role: "member", by: 1 };
  expect(systemWords({ content: "Ann added Ben", metadata }, nameOf)).toBe("Ann added Ben");
  expect(systemWords({ content: null, metadata }, nameOf)).toBe("Ann added Ben");
  expect(systemWords({ content: null, metadata: { ...metadata, by: 2 } }, nameOf)).toBe("Ben joined");
  expect(systemWords({ content: null, metadata: { event: "conversation.updated", by: 1, title: null } }, nameOf)).toBe(
    "Ann removed the title",
  );
  expect(systemWords({ content: null, metadata: {} }, nameOf)).toBe("Something changed");
});
