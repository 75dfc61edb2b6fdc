// Elements. Text goes in as text, never as markup: the documents are data, also where they quote somebody.

/** `h("a", {class: "x", href: "#y"}, "text", child)`. A null or false attribute or child is left out. */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false)
      element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

/** What may be opened; what is inside is made when it first is. */
export function folded(attributes, summary, inside) {
  const element = h("details", attributes, h("summary", {}, summary));
  const open = () => {
    if (element.open && element.childElementCount === 1) element.append(...[inside()].flat());
  };
  element.addEventListener("toggle", open);
  open();
  return element;
}

/** A line of prose: `code` and **strong** are told apart, nothing else is markup. */
export function prose(text = "") {
  return text
    .split(/(`[^`]+`|\*\*[^*]+\*\*)/)
    .filter(Boolean)
    .map((part) => {
      if (part.startsWith("`")) return h("code", {}, part.slice(1, -1));
      if (part.startsWith("**")) return h("strong", {}, part.slice(2, -2));
      return part;
    });
}

/** Paragraphs of prose. */
export function paragraphs(text = "") {
  return text
    .split(/\n{2,}/)
    .filter(Boolean)
    .map((paragraph) => h("p", {}, prose(paragraph)));
}

/** JSON, set in colours. */
export function json(value) {
  const text = JSON.stringify(value, null, 2);
  const tokens = /("(?:[^"\\]|\\.)*")(\s*:)?|\b(true|false|null)\b|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?/g;
  const parts = [];
  let end = 0;
  for (const match of text.matchAll(tokens)) {
    parts.push(text.slice(end, match.index));
    if (match[2]) parts.push(h("span", { class: "key" }, match[1]), match[2]);
    else parts.push(h("span", { class: match[1] ? "string" : match[3] ? "word" : "number" }, match[0]));
    end = match.index + match[0].length;
  }
  return h("pre", { class: "code", tabindex: 0 }, h("code", {}, parts, text.slice(end)));
}
