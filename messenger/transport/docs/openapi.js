// The REST side: one entry an operation, grouped by what it is about.

import { folded, h, json, paragraphs, prose } from "./dom.js";
import { field, fields } from "./shape.js";

const WHO = {
  user: "a user's token",
  service: "the host application",
  onBehalfOf: "on behalf of `X-User-Id`",
  token: "a token in the query",
  subprotocol: "a token as subprotocol",
};

/** `{title, about, groups: [{title, about, entries}]}`; an entry has `id`, `label`, `badge`, `words` and `element()`. */
export function rest(document) {
  const resolve = resolver(document);
  const entries = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => entry(method, path, operation, resolve)),
  );
  return {
    id: "rest",
    title: "REST",
    about: h("div", { class: "about" }, paragraphs(document.info.description)),
    groups: document.tags.map((tag) => ({
      id: `rest-${tag.name}`,
      title: tag.name,
      about: tag.description,
      entries: entries.filter((one) => one.tag === tag.name),
    })),
  };
}

/** Finds what a `$ref` of the document names. */
export function resolver(document) {
  return (reference) =>
    reference
      .slice(2)
      .split("/")
      .reduce((found, part) => found[part], document);
}

function entry(method, path, operation, resolve) {
  return {
    id: operation.operationId,
    tag: operation.tags[0],
    badge: method.toUpperCase(),
    label: operation.summary,
    words: [method, path, operation.summary, operation.description, operation.operationId, ...named(operation, resolve)],
    element: () => [
      h("p", { class: "address" }, h("code", {}, path.split(/(\{\w+\})/).map(segment))),
      paragraphs(operation.description),
      h("p", { class: "who" }, "Asked by ", who(operation.security)),
      parameters(operation.parameters, resolve),
      body(operation.requestBody, resolve),
      h("h4", {}, "Answers"),
      answers(operation.responses, resolve),
      folded({ class: "curl" }, "As curl", () => curl(method, path, operation)),
    ],
  };
}

function segment(part) {
  return part.startsWith("{") ? h("span", { class: "variable" }, part) : part;
}

/** Names of fields that belong to an operation, so that it is found by them. */
function named(operation, resolve) {
  const shape = taken(operation.requestBody, resolve)?.shape;
  return [...operation.parameters.map((one) => one.name), ...Object.keys(shape?.properties ?? {})];
}

/** What a body is: its media type, shape and example; a form with a file has none of the latter. */
function taken(request, resolve) {
  if (!request) return null;
  const [[type, { schema, example }]] = Object.entries(request.content);
  return { type, shape: schema.$ref ? resolve(schema.$ref) : schema, example };
}

function who(security) {
  if (!security.length) return "anybody.";
  const ways = security.map((way) => Object.keys(way).map((name) => WHO[name] ?? name).join(" ") || "anybody");
  return prose(`${ways.join(", or ")}.`);
}

function parameters(list, resolve) {
  if (!list.length) return null;
  const kinds = { path: "in the path", query: "in the query", header: "as a header" };
  return ["path", "query", "header"].map((kind) => {
    const found = list.filter((one) => one.in === kind);
    if (!found.length) return null;
    return [
      h("h4", {}, `Parameters ${kinds[kind]}`),
      h(
        "ul",
        { class: "fields" },
        found.map((one) => field(one.name, one.schema, one.required, resolve, one.description)),
      ),
    ];
  });
}

function body(request, resolve) {
  if (!request) return null;
  const { type, shape, example } = taken(request, resolve);
  return [
    h("h4", {}, "Body"),
    example === undefined && h("p", { class: "media" }, h("code", {}, type)),
    h(
      "div",
      { class: "pair" },
      fields(shape, resolve),
      example !== undefined && h("div", { class: "example" }, json(example)),
    ),
  ];
}

/** Every status; open is what one hopes for: 201 where there are two. */
function answers(responses, resolve) {
  const statuses = Object.keys(responses).sort((one, other) => one - other);
  const hoped = statuses.findLast((status) => status < 300);
  return statuses.map((status) => {
    const response = responses[status];
    return answer(status, response.$ref ? resolve(response.$ref) : response, resolve, status === hoped);
  });
}

function answer(status, response, resolve, isOpen) {
  const kind = status < 300 ? "good" : status < 400 ? "plain" : "bad";
  const [type, media] = Object.entries(response.content ?? {})[0] ?? [];
  const headers = Object.entries(response.headers ?? {});
  const label = [h("span", { class: `status ${kind}` }, status), h("span", {}, prose(response.description))];
  if (!media) return h("p", { class: "answer empty" }, label);
  return folded({ class: "answer", open: isOpen }, label, () => {
    const shape = media.schema.$ref ? resolve(media.schema.$ref) : media.schema;
    const examples = media.examples ? Object.values(media.examples).map((one) => one.value) : [media.example];
    return [
      h("p", { class: "media" }, h("code", {}, Object.keys(response.content).join(", "))),
      headers.length > 0 &&
        h(
          "ul",
          { class: "fields" },
          headers.map(([name, header]) => field(name, header.schema, true, resolve, header.description)),
        ),
      h(
        "div",
        { class: "pair" },
        kind === "bad" && shape.properties
          ? folded({ class: "nested" }, "Fields", () => fields(shape, resolve))
          : shape.properties
            ? fields(shape, resolve)
            : h("p", { class: "none" }, type),
        h("div", { class: "example" }, examples.filter((one) => one !== undefined).map(json)),
      ),
    ].filter(Boolean);
  });
}

function curl(method, path, operation) {
  const examples = Object.fromEntries(operation.parameters.map((one) => [one.name, one.example]));
  const address = path.replace(/\{(\w+)\}/g, (_, name) => encodeURIComponent(examples[name]));
  const query = operation.parameters
    .filter((one) => one.in === "query" && one.required)
    .map((one) => `${one.name}=${[one.example].flat().join(",")}`);
  const lines = [`curl -X ${method.toUpperCase()} "$MESSENGER${address}${query.length ? `?${query.join("&")}` : ""}"`];
  if (operation.security.some((way) => Object.keys(way).length)) lines.push('-H "Authorization: Bearer $TOKEN"');
  const content = operation.requestBody?.content ?? {};
  const example = content["application/json"]?.example;
  if (content["multipart/form-data"]) lines.push("-F file=@trail.jpg");
  if (example) {
    lines.push('-H "Content-Type: application/json"');
    lines.push(`-d '${JSON.stringify(example).replaceAll("'", "'\\''")}'`);
  }
  return h("pre", { class: "code", tabindex: 0 }, h("code", {}, lines.join(" \\\n  ")));
}
