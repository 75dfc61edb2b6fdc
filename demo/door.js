// Before a live session: come in with a code and a nickname, or open one as its host. A guest needs nothing else; a host is one of
// the demo's people, or, where authentication is on, whomever his token names. And how one goes.

import { confirm } from "./dialogs.js";
import { byId, fill, h, write } from "./dom.js";
import { call, config } from "./page.js";
import { codeWanted, giveUp } from "./seat.js";
import { refused, say } from "./words.js";

const CODE = "[A-Za-z0-9]{6,12}";
// Why one does not get in; what is not here is told as elsewhere.
const WHY_NO_GUEST = {
  nickname_taken: "door.taken",
  not_found: "door.unknown",
  invalid_frame: "door.badNickname",
};
const WHY_NO_HOST = {
  conflict: "door.codeTaken",
  invalid_frame: "door.badCode",
  unauthorized: "gate.token_invalid",
};

/** Resolves with the seat (seat.js) of whoever came in. `extra`: what else there is to choose. */
export function enter({ title, lead, extra = null }) {
  return new Promise((resolve) => {
    const trouble = h("p", { class: "refusal", role: "alert", "data-testid": "refusal" });
    const forms = h("div", { class: "door-forms" }, joining(resolve, trouble));
    fill(byId("door"), h("h1", {}, say(title)), h("p", { class: "lead" }, say(lead)), extra, forms, trouble);
    byId(codeWanted() === "" ? "join-code" : "nickname").focus();
    // Whoever has a code comes as a guest.
    if (codeWanted() !== "") return;
    config().then(
      (known) => forms.append(opening(known, resolve, trouble)),
      (error) => write(trouble, refused(error)),
    );
  });
}

function joining(resolve, trouble) {
  const code = field("join-code", "door.code", {
    value: codeWanted(),
    required: true,
    pattern: CODE,
    maxlength: 12,
    autocapitalize: "characters",
    class: "field code-field",
  });
  const nickname = field("nickname", "door.nickname", {
    required: true,
    minlength: 2,
    maxlength: 20,
    hint: say("door.nicknameHint"),
  });
  const join = async () => {
    const wanted = code.input.value.trim().toUpperCase();
    const { participant, session, token } = await call(null, "POST", `join/${wanted}`, { nickname: nickname.value });
    const { id, nickname: name } = participant;
    return seat(session, { id, nickname: name, isHost: false, as: { token } });
  };
  return asked("join", [code, nickname], join, WHY_NO_GUEST, resolve, trouble);
}

function opening({ auth, users }, resolve, trouble) {
  const isOpenToAll = auth === "off";
  const host = isOpenToAll
    ? field("host", "door.host", {
        tag: "select",
        children: users.map(({ id, name }) => h("option", { value: id }, name)),
      })
    : field("token", "door.token", {
        tag: "textarea",
        class: "field token-field",
        rows: 3,
        required: true,
        value: sessionStorage.getItem("messenger.token") ?? "",
        hint: [say("gate.paste"), " ", h("code", {}, "messenger token 1"), " ", say("gate.prints")],
      });
  const title = field("session-title", "door.title", {
    required: true,
    maxlength: 200,
    placeholder: say("door.titleExample"),
  });
  const code = field("own-code", "door.ownCode", {
    pattern: CODE,
    maxlength: 12,
    autocapitalize: "characters",
    class: "field code-field",
    hint: say("door.codeHint"),
  });
  const open = async () => {
    const as = isOpenToAll ? { userId: host.value } : { token: host.value };
    const wanted = { title: title.value, ...(code.value && { session_code: code.value.toUpperCase() }) };
    const session = await call(as, "POST", "sessions", wanted);
    const { id, nickname } = session.participant;
    return seat(session, { id, nickname, isHost: true, as });
  };
  return asked("open", [host, title, code], open, WHY_NO_HOST, resolve, trouble);
}

const seat = ({ session_code, title }, self) => ({ code: session_code, title, ...self });

// A labelled field: `{element, input, value}`.
function field(id, label, { tag = "input", hint = null, children = [], value = "", ...attributes }) {
  const input = h(
    tag,
    {
      class: "field",
      id,
      "data-testid": id,
      autocomplete: "off",
      spellcheck: "false",
      "aria-describedby": hint && `${id}-hint`,
      ...attributes,
    },
    children,
  );
  if (tag !== "select") input.value = value;
  const element = h(
    "div",
    {},
    h("label", { class: "field-label", for: id }, say(label)),
    input,
    hint && h("p", { class: "hint", id: `${id}-hint` }, hint),
  );
  return {
    element,
    input,
    get value() {
      return input.value.trim();
    },
  };
}

// A form that does something once, and says why it was not done.
function asked(name, fields, run, reasons, resolve, trouble) {
  const button = h("button", { class: "button", type: "submit", "data-testid": `do-${name}` }, say(`door.${name}`));
  const submit = async (event) => {
    event.preventDefault();
    button.disabled = true;
    write(trouble, "");
    try {
      resolve(await run());
    } catch (error) {
      write(trouble, reasons[error.code] ? say(reasons[error.code]) : refused(error));
      button.disabled = false;
    }
  };
  return h(
    "form",
    { class: "door-form", "data-testid": `${name}-form`, onsubmit: submit },
    h("h2", {}, say(`door.${name}Title`)),
    fields.map(({ element }) => element),
    h("div", { class: "card-actions" }, button),
  );
}

/** The buttons by which one leaves, and by which a host closes the session; `hangUp` ends the connection, `trouble` is told of a
 *  refusal. */
export function offerToGo({ as, code }, hangUp, trouble) {
  byId("leave").onclick = () => {
    hangUp();
    giveUp();
    location.assign(location.pathname);
  };
  byId("close").onclick = async () => {
    const words = { title: say("live.closeTitle"), words: say("live.closeWords"), action: say("live.closeDo") };
    if (!(await confirm(words))) return;
    call(as, "PATCH", `sessions/${code}`, { status: "closed" }).catch((error) => trouble(refused(error)));
  };
}
