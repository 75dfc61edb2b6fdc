// The WebSocket side: one entry a frame, those that a client says first.

import { h, json, paragraphs, prose } from "./dom.js";
import { resolver } from "./openapi.js";
import { fields } from "./shape.js";

/** As `rest` of openapi.js. */
export function live(document) {
  const resolve = resolver(document);
  const [channel] = Object.values(document.channels);
  const operations = Object.values(document.operations);
  const messages = (list) => list.map((one) => resolve(resolve(one.$ref).$ref));
  const said = operations
    .filter((one) => one.action === "receive")
    .map((one) => ({ message: messages(one.messages)[0], answers: messages(one.reply.messages), about: one.summary }));
  const told = operations.filter((one) => one.action === "send").map((one) => messages(one.messages)[0]);
  const direct = [...new Set(said.flatMap((one) => one.answers))].filter((message) => !told.includes(message));
  return {
    id: "live",
    title: "WebSocket",
    about: h("div", { class: "about" }, paragraphs(document.info.description)),
    groups: [
      { id: "live-opening", title: "Opening and closing", entries: [opening(document, channel), closing(channel)] },
      {
        id: "live-said",
        title: "You say",
        about: "Frames of a client, each with its direct answer.",
        entries: said.map((one) => frame("say", one.message, resolve, one.answers)),
      },
      {
        id: "live-answers",
        title: "You are answered",
        about: "Direct answers, to whoever asked.",
        entries: direct.map((message) => frame("hear", message, resolve)),
      },
      {
        id: "live-told",
        title: "You are told",
        about: "Frames that come by themselves.",
        entries: told.map((message) => frame("hear", message, resolve)),
      },
      { id: "live-errors", title: "Errors", entries: [errors(channel)] },
    ],
  };
}

function frame(side, message, resolve, answers = []) {
  const shape = message.payload;
  return {
    id: `${side}.${message.name}`,
    badge: side,
    label: message.name,
    isCode: true,
    words: [message.name, message.summary, ...Object.keys(shape.properties)],
    element: () => [
      h("p", {}, prose(message.summary)),
      answers.length > 0 &&
        h("p", { class: "who" }, answers.length === 1 ? "Answered only by " : "Answered by ", links(answers), "."),
      h(
        "div",
        { class: "pair" },
        fields(shape, resolve),
        h("div", { class: "example" }, message.examples.map((one) => json(one.payload))),
      ),
    ],
  };
}

function links(answers) {
  return answers.flatMap((message, place) => [
    place ? " or " : null,
    h("a", { href: `#hear.${message.name}` }, h("code", {}, message.name)),
  ]);
}

function opening(document, channel) {
  const schemes = Object.values(document.components.securitySchemes);
  const query = channel.bindings.ws.query;
  return {
    id: "opening",
    badge: "open",
    label: channel.address,
    isCode: true,
    words: [channel.address, "token", "subprotocol", ...Object.keys(query.properties)],
    element: () => [
      paragraphs(channel.description),
      h("p", {}, prose(`${Object.values(channel.parameters)[0].description} First found token wins:`)),
      h(
        "ol",
        { class: "schemes" },
        schemes.map((scheme) => h("li", {}, prose(scheme.description))),
      ),
      h("h4", {}, "Parameters in the query"),
      fields(query, () => ({})),
    ],
  };
}

function closing(channel) {
  return table("closing", "Close codes", channel["x-close-codes"], ["code", "reason", "then"]);
}

function errors(channel) {
  return table("errors", "Codes of an error", channel["x-error-codes"], ["code", "message"]);
}

function table(id, label, rows, columns) {
  return {
    id,
    badge: null,
    label,
    words: [label, ...rows.flatMap((row) => Object.values(row).map(String))],
    element: () => [
      h(
        "div",
        { class: "scroll" },
        h(
          "table",
          {},
          h("thead", {}, h("tr", {}, columns.map((name) => h("th", { scope: "col" }, name)))),
          h(
            "tbody",
            {},
            rows.map((row) =>
              h(
                "tr",
                {},
                columns.map((name) => h("td", {}, name === columns.at(-1) ? (row[name] ?? "") : h("code", {}, row[name] ?? ""))),
              ),
            ),
          ),
        ),
      ),
    ],
  };
}
