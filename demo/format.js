// How times, names and people look in text, in the reader's language.

import { locale, say } from "./words.js";

const time = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
const day = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const shortOfYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "numeric", year: "2-digit" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });
const number = new Intl.NumberFormat(locale);
const percent = new Intl.NumberFormat(locale, { style: "percent" });
const bytes = ["byte", "kilobyte", "megabyte", "gigabyte"].map(
  (unit) => new Intl.NumberFormat(locale, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: 1 }),
);

const HUES = 8;
const DAY_MS = 86_400_000;

export const clockTime = (date) => time.format(date);
export const fullTime = (date) => full.format(date);
export const countOf = (count) => number.format(count);

/** Whole days between two moments, by the calendar here. */
function daysBetween(date, now) {
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();
  return Math.round((midnight(now) - midnight(date)) / DAY_MS);
}

/** In a list: the time today, the weekday this week, else the date. */
export function listTime(date, now = new Date()) {
  const days = daysBetween(date, now);
  if (days <= 0) return time.format(date);
  if (days === 1) return say("time.yesterday");
  if (days < 7) return weekday.format(date);
  return (date.getFullYear() === now.getFullYear() ? short : shortOfYear).format(date);
}

/** Between messages. */
export function dayTitle(date, now = new Date()) {
  const days = daysBetween(date, now);
  if (days === 0) return say("time.today");
  if (days === 1) return say("time.yesterday");
  return (date.getFullYear() === now.getFullYear() ? day : dayOfYear).format(date);
}

/** The same text for the same day here. */
export const dayKey = (date) => `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;

/** "last seen 5 minutes ago". */
export function lastSeen(date, now = new Date()) {
  const minutes = Math.round((now - date) / 60_000);
  if (minutes < 1) return say("presence.seenNow");
  const ago =
    minutes < 60
      ? relative.format(-minutes, "minute")
      : minutes < 24 * 60
        ? relative.format(-Math.round(minutes / 60), "hour")
        : relative.format(-daysBetween(date, now), "day");
  return say("presence.seen", { ago });
}

/** Of a whole: "45%". */
export const percentOf = (part) => percent.format(part);

/** Of a file: "1.4 MB". */
export function sizeOf(count) {
  const power = Math.min(Math.floor(Math.log10(Math.max(count, 1)) / 3), bytes.length - 1);
  return bytes[power].format(count / 1000 ** power);
}

/** One or two letters to stand for a name; of one in Hangul or Han the last two, by which people call each other. */
export function initials(name) {
  const words = name
    .replace(/[^\p{L}\p{N}\s]/gu, " ")
    .split(/\s+/u)
    .filter(Boolean);
  if (words.length === 1 && /^[\p{Script=Hangul}\p{Script=Han}]{2,}$/u.test(words[0]))
    return [...words[0]].slice(-2).join("");
  const letters = words.length > 1 ? [words[0], words.at(-1)] : words;
  return letters.map((word) => [...word][0].toUpperCase()).join("") || "?";
}

/** Always the same of eight colours for the same id. */
export function hue(id) {
  if (typeof id === "number") return id % HUES;
  let sum = 0;
  for (const character of String(id)) sum = (sum * 31 + character.codePointAt(0)) >>> 0;
  return sum % HUES;
}
