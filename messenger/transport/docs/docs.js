// The page at /docs: shows /openapi.json and /asyncapi.json as they are served, and loads nothing else.

import { live } from "./asyncapi.js";
import { h, prose } from "./dom.js";
import { rest } from "./openapi.js";

const main = document.getElementById("main");
const contents = document.getElementById("contents");
const search = document.getElementById("search");
const menu = document.getElementById("menu");

/** Every entry with its card and its line in the contents. */
const shown = [];
const groups = [];

async function fetched(name) {
  const response = await fetch(name);
  if (!response.ok) throw new Error(`${name}: ${response.status}`);
  return response.json();
}

function side({ id, title, about, groups: found }) {
  contents.append(h("h2", {}, h("a", { href: `#${id}` }, title)));
  main.append(h("section", { id, class: "side" }, h("h1", {}, title), about));
  for (const group of found) if (group.entries.length) add(group);
}

function add(group) {
  const cards = [];
  const lines = [];
  for (const entry of group.entries) {
    const badge = () => entry.badge && h("span", { class: "badge", "data-kind": entry.badge }, entry.badge);
    const label = () => (entry.isCode ? h("code", {}, entry.label) : entry.label);
    const card = h(
      "article",
      { id: entry.id, class: "card", "data-testid": "entry" },
      h("h3", {}, badge(), h("a", { class: "anchor", href: `#${entry.id}` }, label())),
      entry.element(),
    );
    const line = h("li", {}, h("a", { href: `#${entry.id}`, "data-testid": "line" }, badge(), label()));
    shown.push({ card, line, words: entry.words.filter(Boolean).join("\n").toLowerCase() });
    cards.push(card);
    lines.push(line);
  }
  const section = h(
    "section",
    { id: group.id, class: "group" },
    h("h2", {}, group.title),
    group.about && h("p", { class: "group-about" }, prose(group.about)),
    cards,
  );
  const list = h("div", { class: "contents-group" }, h("h3", {}, h("a", { href: `#${group.id}` }, group.title)), h("ul", {}, lines));
  groups.push({ section, list, cards });
  main.append(section);
  contents.append(list);
}

/** Show only what holds every word that is sought. */
function filter() {
  const wanted = search.value.toLowerCase().split(/\s+/).filter(Boolean);
  let count = 0;
  for (const { card, line, words } of shown) {
    const fits = wanted.every((word) => words.includes(word));
    card.hidden = line.hidden = !fits;
    count += fits;
  }
  for (const { section, list, cards } of groups) section.hidden = list.hidden = cards.every((card) => card.hidden);
  for (const about of document.querySelectorAll(".side")) about.hidden = wanted.length > 0;
  nothing.hidden = count > 0;
}

const nothing = h("p", { class: "notice", "data-testid": "nothing", hidden: true }, "Nothing of that kind.");

/** The line of what is read just now. */
function follow() {
  const lines = new Map(shown.map(({ card, line }) => [card, line.firstElementChild]));
  const seen = new Set();
  const observer = new IntersectionObserver(
    (changes) => {
      for (const { target, isIntersecting } of changes) isIntersecting ? seen.add(target) : seen.delete(target);
      const first = shown.find(({ card }) => seen.has(card));
      for (const [card, line] of lines) {
        if (card === first?.card) line.setAttribute("aria-current", "true");
        else line.removeAttribute("aria-current");
      }
    },
    { rootMargin: "-80px 0px -60% 0px" },
  );
  for (const card of lines.keys()) observer.observe(card);
}

/** What the address names did not exist when the browser looked for it. */
function arrive() {
  const id = decodeURIComponent(location.hash.slice(1));
  if (id) document.getElementById(id)?.scrollIntoView();
}

function toggleContents(isOpen = menu.getAttribute("aria-expanded") !== "true") {
  menu.setAttribute("aria-expanded", String(isOpen));
  document.body.classList.toggle("with-contents", isOpen);
}

menu.addEventListener("click", () => toggleContents());
contents.addEventListener("click", (event) => {
  if (event.target.closest("a")) toggleContents(false);
});
search.addEventListener("input", filter);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== search && !event.ctrlKey && !event.metaKey && !event.altKey) {
    event.preventDefault();
    search.focus();
  } else if (event.key === "Escape" && document.activeElement === search) {
    search.value = "";
    filter();
  }
});

try {
  const [openapi, asyncapi] = await Promise.all([fetched("openapi.json"), fetched("asyncapi.json")]);
  main.replaceChildren(nothing);
  document.getElementById("version").textContent = openapi.info.version;
  side(rest(openapi));
  side(live(asyncapi));
  filter();
  follow();
  arrive();
  main.dataset.ready = "true";
} catch (error) {
  main.replaceChildren(h("p", { class: "notice" }, `The documents could not be read: ${error.message}`));
}
