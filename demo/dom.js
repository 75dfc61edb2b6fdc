// Elements. Text goes in as text, never as markup; no inline style attribute, which the policy of the page forbids.

/** `h("button", {class: "x", onclick: f, "data-id": 1}, "text", child)`. A null or false attribute or child is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...present(children));
  return element;
}

/** Replace what is inside. */
export function fill(element, ...children) {
  element.replaceChildren(...present(children));
}

/** Set the text only where it differs: a live region would read it out again. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export const byId = (id) => document.getElementById(id);

function present(children) {
  return children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false);
}

/**
 * Make the children of `parent` those of `wanted`, in its order, moving as few as possible.
 * Elements that are no longer wanted are removed.
 */
export function arrange(parent, wanted) {
  const keep = new Set(wanted);
  for (const child of [...parent.children]) if (!keep.has(child)) child.remove();
  let next = parent.firstElementChild;
  for (const element of wanted) {
    if (element === next) next = next.nextElementSibling;
    else parent.insertBefore(element, next);
  }
}

const SVG = "http://www.w3.org/2000/svg";
const ICONS = {
  back: ["M15 5l-7 7 7 7"],
  plus: ["M12 5v14M5 12h14"],
  minus: ["M5 12h14"],
  leave: ["M14 4h4a2 2 0 0 1 2 2v12a2 2 0 0 1-2 2h-4", "M4 12h11M8 8l-4 4 4 4"],
  send: ["M12 19V5M6 11l6-6 6 6"],
  edit: ["M4 20l1-4.5L16.5 4a2.1 2.1 0 0 1 3 3L8.5 18.5z"],
  trash: ["M5 7h14M10 7V5h4v2M7 7l1 12h8l1-12"],
  close: ["M6 6l12 12M18 6L6 18"],
  down: ["M6 10l6 6 6-6"],
  sent: ["M5 12.5l4.5 4.5L19 7.5"],
  read: ["M2 12.5l4.5 4.5L16 7.5", "M11.5 16l1 1L22 7.5"],
  pending: ["M12 7v5l3 2", "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18"],
  failed: ["M12 8v5M12 16.5v.01", "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18"],
  gone: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18", "M6 6l12 12"],
  reply: ["M10 6l-6 6 6 6", "M4.5 12H14a6 6 0 0 1 6 6v1"],
  smile: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18", "M8.5 14.2c.8 1.2 2 1.9 3.5 1.9s2.7-.7 3.5-1.9M9 9.6v.01M15 9.6v.01"],
  readers: [
    "M2.5 12S6 5.5 12 5.5 21.5 12 21.5 12 18 18.5 12 18.5 2.5 12 2.5 12z",
    "M12 9.2a2.8 2.8 0 1 0 0 5.6a2.8 2.8 0 1 0 0-5.6",
  ],
  file: ["M13.5 3H7a1.5 1.5 0 0 0-1.5 1.5v15A1.5 1.5 0 0 0 7 21h10a1.5 1.5 0 0 0 1.5-1.5V8z", "M13.5 3v5h5"],
  // A paper clip.
  attach: [
    "M20 11.5l-8.3 8.3a5.2 5.2 0 0 1-7.4-7.4l8.6-8.6a3.5 3.5 0 0 1 5 5l-8.5 8.5a1.75 1.75 0 0 1-2.5-2.5l7.7-7.7",
  ],
  picture: [
    "M5.5 4.5h13a1.5 1.5 0 0 1 1.5 1.5v12a1.5 1.5 0 0 1-1.5 1.5h-13A1.5 1.5 0 0 1 4 18V6a1.5 1.5 0 0 1 1.5-1.5z",
    "M9 8.2a1.3 1.3 0 1 0 0 2.6a1.3 1.3 0 1 0 0-2.6M4.5 17l4.5-4 3 2.5 3.5-4 4 4.5",
  ],
  broken: ["M8 4.5h10.5a1.5 1.5 0 0 1 1.5 1.5v10.5M17 19.5H5.5A1.5 1.5 0 0 1 4 18V6", "M4 4l16 16"],
  download: ["M12 4.5v10.5M7.5 11l4.5 4.5 4.5-4.5", "M5 19.5h14"],
  // To somewhere else.
  away: ["M8 16L17 7M9.5 7H17v7.5"],
  again: ["M19 12a7 7 0 1 1-2.1-5M19.5 4v4h-4"],
  frames: ["M8 6l-5 6 5 6M16 6l5 6-5 6"],
  up: ["M12 19V6M7 10l5-5 5 5"],
  drop: ["M12 5v13M7 14l5 5 5-5"],
  people: [
    "M9 5a3.2 3.2 0 1 0 0 6.4a3.2 3.2 0 1 0 0-6.4",
    "M3 19c0-3.2 2.6-5 6-5s6 1.8 6 5",
    "M16 5.4a3.2 3.2 0 0 1 0 5.8M17.5 14.4c2.1.6 3.5 2.2 3.5 4.6",
  ],
  search: ["M11 4a7 7 0 1 0 0 14a7 7 0 1 0 0-14", "M16.2 16.2L20 20"],
  bell: ["M6 16.5V11a6 6 0 0 1 12 0v5.5l1.5 1.5h-15z", "M10 21h4"],
  muted: ["M8.5 5.9A6 6 0 0 1 18 11v4M6.4 8.8A6 6 0 0 0 6 11v5.5L4.5 18H17", "M10 21h4", "M4 4l16 16"],
  more: ["M5.5 12v.01M12 12v.01M18.5 12v.01"],
  check: ["M5 12.5l4.5 4.5L19 7.5"],
  group: [
    "M12 5a3 3 0 1 0 0 6a3 3 0 1 0 0-6",
    "M6.5 19c0-3 2.4-4.8 5.5-4.8s5.5 1.8 5.5 4.8",
    "M5.2 7.4a2.4 2.4 0 0 0 0 4.4M2.5 17c0-1.6.7-2.7 1.9-3.4M18.8 7.4a2.4 2.4 0 0 1 0 4.4M21.5 17c0-1.6-.7-2.7-1.9-3.4",
  ],
  announce: ["M4 10v4h3l8 4.5v-13L7 10z", "M18.5 9.5a3.5 3.5 0 0 1 0 5M8 14.5l1 5"],
  person: ["M12 4.5a3.7 3.7 0 1 0 0 7.4a3.7 3.7 0 1 0 0-7.4", "M5 20c0-3.6 3-5.6 7-5.6s7 2 7 5.6"],
  invite: [
    "M10 5a3.4 3.4 0 1 0 0 6.8a3.4 3.4 0 1 0 0-6.8",
    "M3.5 19.5c0-3.3 2.8-5.2 6.5-5.2 1 0 2 .2 2.9.5",
    "M18 14v6M15 17h6",
  ],
  info: ["M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18", "M12 11v5.5M12 7.6v.01"],
  pause: ["M9 6v12M15 6v12"],
  play: ["M8 5.5l10 6.5-10 6.5z"],
  cut: ["M9 7V3M15 7V3M6.5 7h11v3.5a5.5 5.5 0 0 1-8 4.9M12 16v5", "M4 4l16 16"],
  plug: ["M9 7V3M15 7V3M6.5 7h11v3.5a5.5 5.5 0 0 1-11 0zM12 16v5"],
  globe: [
    "M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18",
    "M3.5 12h17M12 3c2.6 2.5 3.8 5.5 3.8 9s-1.2 6.5-3.8 9c-2.6-2.5-3.8-5.5-3.8-9s1.2-6.5 3.8-9",
  ],
  chat: [
    "M12 4c-5 0-8.5 3.3-8.5 7.3 0 2.3 1.2 4.4 3.1 5.7-.1 1-.5 2-1.3 3 1.7-.1 3.2-.7 4.4-1.7.7.2 1.5.3 2.3.3 5 0 8.5-3.3 8.5-7.3S17 4 12 4z",
  ],
};

/** A line icon of 24 by 24, in the colour of the text; the words for it belong to its button. */
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  for (const d of ICONS[name]) {
    const path = document.createElementNS(SVG, "path");
    path.setAttribute("d", d);
    svg.append(path);
  }
  return svg;
}
