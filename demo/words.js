// The page's words, in the language of whoever reads them. `say(key, params)` is the only way from a key to a text; the texts
// lie in words/en.js and words/ko.js. Runs without a page too (tests).
//
//   say("pane.loadOlder")                     one text
//   say("list.older", { name: "Bob" })        {name} is filled in as it is
//   say("people", { count: 3 })               "people.one" or "people.other", as the language counts; {count} is written its way
//   <button data-say-label="pane.back">       in a page: `data-say` fills the text, `data-say-label` aria-label and title,
//   <ul data-say-name="pane.messages">        `data-say-name` aria-label alone, `data-say-hint` the placeholder (see `sayAll`)
//
// What the server says about a refusal is told by `refused(error)`, a system entry by `systemWords(message, nameOf)`.

import { en } from "./words/en.js";
import { ko } from "./words/ko.js";

const WORDS = { en, ko };
const STORED = "messenger.language";

/** Every language there is, by its code, as it calls itself. */
export const LANGUAGES = { en: "English", ko: "한국어" };

const wished = [stored(), ...(globalThis.navigator?.languages ?? [])].filter(Boolean);

/** @type {"en"|"ko"} */
export const language =
  wished.map((tag) => tag.slice(0, 2).toLowerCase()).find((code) => Object.hasOwn(WORDS, code)) ?? "en";

/** For Intl: the language with the reader's own region, where the browser tells one. */
export const locale = wished.find((tag) => tag.length > 2 && tag.toLowerCase().startsWith(language)) ?? language;

const plurals = new Intl.PluralRules(language);
const numbers = new Intl.NumberFormat(locale);

if (globalThis.document) document.documentElement.lang = language;

/** The text of `key`; with `params.count` that of its plural form, where it has any. A key without a text is shown itself. */
export function say(key, params = {}) {
  const words = WORDS[language];
  const text = (params.count !== undefined && words[`${key}.${plurals.select(params.count)}`]) || words[key] || key;
  return text.replace(/\{(\w+)(?::([^/}]+)\/([^}]+))?\}/g, (hole, name, closed, open) => {
    const value = params[name];
    if (value === undefined || value === null) return hole;
    if (closed !== undefined) return particle(String(value), closed, open);
    return name === "count" && typeof value === "number" ? numbers.format(value) : String(value);
  });
}

// The Korean particle behind a word: `closed` after a final consonant, else `open`. How a word of other letters ends is not known.
function particle(word, closed, open) {
  const last = word.replace(/[\s\p{P}]+$/u, "").at(-1) ?? "";
  const ends = /[가-힣]/.test(last)
    ? (last.charCodeAt(0) - 0xac00) % 28
    : /\d/.test(last)
      ? "ㅇㄹ ㅁ  ㄱㄹㄹ "[last].trim()
      : null;
  if (ends === null) return open === "로" ? "(으)로" : `${closed}(${open})`;
  const isOpen = !ends || (open === "로" && (ends === 8 || ends === "ㄹ"));
  return isOpen ? open : closed;
}

export const has = (key) => Object.hasOwn(WORDS[language], key);

/** Read in another language: it is remembered, and the page begins anew (drafts and unsent messages survive that). */
export function chooseLanguage(code) {
  try {
    localStorage.setItem(STORED, code);
  } catch {
    // It holds for no longer than the page then; a reload would ask the browser again.
  }
  location.reload();
}

/** Fill in the words of what a page holds. */
export function sayAll(root) {
  for (const element of root.querySelectorAll("[data-say]")) element.textContent = say(element.dataset.say);
  for (const element of root.querySelectorAll("[data-say-label]")) {
    element.setAttribute("aria-label", say(element.dataset.sayLabel));
    element.title = say(element.dataset.sayLabel);
  }
  for (const element of root.querySelectorAll("[data-say-name]"))
    element.setAttribute("aria-label", say(element.dataset.sayName));
  for (const element of root.querySelectorAll("[data-say-hint]")) element.placeholder = say(element.dataset.sayHint);
}

/** Why something was not done, from a RequestError or a row's `error`. */
export function refused(error) {
  const { code = "internal", message = "" } = error ?? {};
  return has(`refused.${code}`) ? say(`refused.${code}`, { message }) : message || say("refused.internal", { message });
}

/** A name as one speaks of somebody else, and never of oneself, to be told in a row with others. */
export const honoured = (name) => say("names.honoured", { name });

/** "Alice", "Alice and Bob", "Alice, Bob and Chiara", "Alice, Bob and 2 others"; of names that are `honoured` where they are to be. */
export function enumerate(names) {
  const [first, second, third] = names;
  if (names.length <= 1) return first ?? "";
  if (names.length === 2) return say("names.pair", { first, second });
  if (names.length === 3) return say("names.trio", { first, second, third });
  return say("names.more", { first, second, count: names.length - 2 });
}

/** What a system entry tells. The server's own words are English; others are made of what the entry is about. */
export function systemWords({ content, metadata }, nameOf) {
  const { event, user_id, name, role, by, title } = metadata ?? {};
  // The server's own words of a role have no article.
  if (language === "en" && content && event !== "participant.updated") return content;
  const actor = by ? nameOf(by) : null;
  const person = name ?? (user_id ? nameOf(user_id) : null);
  const self = by === user_id;
  if (event === "participant.added" && person && actor)
    return self ? say("entry.joined", { name: person }) : say("entry.added", { actor, name: person });
  if (event === "participant.removed" && person && actor)
    return self ? say("entry.left", { name: person }) : say("entry.removed", { actor, name: person });
  if (event === "participant.updated" && person && has(`entry.role.${role}`))
    return say(`entry.role.${role}`, { name: person });
  if (event === "conversation.updated" && actor) {
    if (title === undefined) return say("entry.changed", { actor });
    return title === null ? say("entry.untitled", { actor }) : say("entry.titled", { actor, title });
  }
  return content || say("entry.something");
}

function stored() {
  try {
    const code = globalThis.localStorage?.getItem(STORED);
    return Object.hasOwn(WORDS, code) ? code : null;
  } catch {
    return null;
  }
}
