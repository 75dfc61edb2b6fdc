// How times, names and people look in text. English, by the page's `lang`.

const locale = document.documentElement.lang || "en";
const time = new Intl.DateTimeFormat(locale, { hour: "numeric", minute: "2-digit" });
const weekday = new Intl.DateTimeFormat(locale, { weekday: "short" });
const day = new Intl.DateTimeFormat(locale, { weekday: "long", day: "numeric", month: "long" });
const dayOfYear = new Intl.DateTimeFormat(locale, { day: "numeric", month: "long", year: "numeric" });
const short = new Intl.DateTimeFormat(locale, { day: "numeric", month: "short" });
const full = new Intl.DateTimeFormat(locale, { dateStyle: "full", timeStyle: "short" });
const relative = new Intl.RelativeTimeFormat(locale, { numeric: "auto" });

const HUES = 8;
const DAY_MS = 86_400_000;

export const clockTime = (date) => time.format(date);
export const fullTime = (date) => full.format(date);

/** Whole days between two moments, by the calendar here. */
function daysBetween(date, now) {
  const midnight = (moment) => new Date(moment.getFullYear(), moment.getMonth(), moment.getDate()).getTime();
  return Math.round((midnight(now) - midnight(date)) / DAY_MS);
}

/** In a list: the time today, the weekday this week, else the date. */
export function listTime(date, now = new Date()) {
  const days = daysBetween(date, now);
  if (days <= 0) return time.format(date);
  if (days === 1) return "Yesterday";
  return days < 7 ? weekday.format(date) : short.format(date);
}

/** Between messages. */
export function dayTitle(date, now = new Date()) {
  const days = daysBetween(date, now);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  return date.getFullYear() === now.getFullYear() ? day.format(date) : dayOfYear.format(date);
}

export const dayKey = (date) => `${date.getFullYear()}-${date.getMonth()}-${date.getDate()}`;

/** "last seen 5 minutes ago". */
export function lastSeen(date, now = new Date()) {
  const minutes = Math.round((now - date) / 60_000);
  if (minutes < 1) return "last seen just now";
  if (minutes < 60) return `last seen ${relative.format(-minutes, "minute")}`;
  if (minutes < 24 * 60) return `last seen ${relative.format(-Math.round(minutes / 60), "hour")}`;
  return `last seen ${relative.format(-daysBetween(date, now), "day")}`;
}

/** One or two letters to stand for a name. */
export function initials(name) {
  const words = name
    .replace(/[^\p{L}\p{N}\s]/gu, " ")
    .split(/\s+/u)
    .filter(Boolean);
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

/** "Alice", "Alice and Bob", "Alice, Bob and 2 others". */
export function enumerate(names) {
  if (names.length <= 2) return names.join(" and ");
  if (names.length === 3) return `${names[0]}, ${names[1]} and ${names[2]}`;
  return `${names[0]}, ${names[1]} and ${names.length - 2} others`;
}
