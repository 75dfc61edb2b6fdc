// JSON Schema for people: a line a field, and what is nested opens.

import { folded, h, prose } from "./dom.js";

// What a JavaScript number still holds: said of every integer, and so of none.
const MOST = Number.MAX_SAFE_INTEGER;

/** The fields of an object, required ones first. `resolve` finds what a `$ref` names. */
export function fields(shape, resolve) {
  const { properties = {}, required = [] } = shape;
  const names = Object.keys(properties);
  if (!names.length) return h("p", { class: "none" }, "No fields.");
  const isRequired = (name) => required.includes(name);
  const sorted = [...names.filter(isRequired), ...names.filter((name) => !isRequired(name))];
  return h(
    "ul",
    { class: "fields" },
    sorted.map((name) => field(name, properties[name], isRequired(name), resolve)),
  );
}

/** One named value. */
export function field(name, shape, isRequired, resolve, meaning = shape.description) {
  const inner = nested(shape, resolve);
  const limits = bounds(shape);
  return h(
    "li",
    { class: "field" },
    h(
      "div",
      { class: "field-head" },
      h("code", { class: "field-name" }, name),
      h("span", { class: "type" }, typeOf(shape)),
      limits.map((limit) => h("span", { class: "limit" }, limit)),
      !isRequired && h("span", { class: "optional" }, "optional"),
    ),
    meaning && h("p", { class: "meaning" }, prose(meaning)),
    inner && folded({ class: "nested" }, inner.name, () => fields(inner.shape, resolve)),
  );
}

/** The object inside a shape, with its name. */
function nested(shape, resolve) {
  if (shape.$ref) return { name: nameOf(shape.$ref), shape: resolve(shape.$ref) };
  for (const inner of [shape.items, ...(shape.anyOf ?? [])]) {
    const found = inner && nested(inner, resolve);
    if (found) return found;
  }
  return null;
}

function nameOf(reference) {
  return reference.split("/").at(-1);
}

function typeOf(shape) {
  if (shape.$ref) return nameOf(shape.$ref);
  if (shape.anyOf) return shape.anyOf.map(typeOf).join(" or ");
  if ("const" in shape) return JSON.stringify(shape.const);
  if (shape.enum) return shape.enum.map((value) => JSON.stringify(value)).join(" | ");
  const type = [shape.type ?? "anything"].flat().join(" or ");
  if (shape.items) return `${type} of ${typeOf(shape.items)}`;
  if (typeof shape.additionalProperties === "object") return `map of ${typeOf(shape.additionalProperties)}`;
  return shape.format ? type.replace("string", shape.format) : type;
}

/** What else must be true of a value. */
function bounds(shape) {
  const found = [
    shape.minLength === 1 && !shape.maxLength ? "not empty" : span(shape.minLength, shape.maxLength, "characters"),
    span(shape.minItems || undefined, shape.maxItems, "items"),
    span(shape.minimum, shape.maximum === MOST ? undefined : shape.maximum, ""),
    shape.pattern && `like ${shape.pattern}`,
    "default" in shape && shape.default !== null && `default ${JSON.stringify(shape.default)}`,
  ];
  return found.filter(Boolean);
}

function span(least, most, unit) {
  if (least === undefined && most === undefined) return null;
  const number = (value) => value.toLocaleString("en");
  if (least === undefined) return `at most ${number(most)} ${unit}`.trim();
  if (most === undefined) return `at least ${number(least)} ${unit}`.trim();
  return `${number(least)} to ${number(most)} ${unit}`.trim();
}
