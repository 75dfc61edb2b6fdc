// The dialog for a new conversation: one person, and it is direct; or several and a title, and it is a group or an announcement.

import { cross, openDialog } from "./dialogs.js";
import { fill, h, icon, write } from "./dom.js";
import { Picker } from "./picker.js";
import { refused, say } from "./words.js";

const MOST_TITLE = 200;

/**
 * Resolves with the id of a person to talk with directly, as `{userId}`; with that of a conversation of many that was made,
 * as `{conversationId}`; or with null. `read()` gives who there is, `create(wanted)` makes one.
 */
export function newConversation({ read, create }) {
  let picker = null;
  return openDialog({
    title: say("new.title"),
    redraw: () => picker?.render(),
    content: (end) => {
      const stage = h("div", { class: "stage" });
      const kinds = ["group", "announcement"].map((type) =>
        h(
          "button",
          {
            class: "person kind",
            type: "button",
            "data-testid": `new-${type}`,
            onclick: () => {
              write(document.getElementById("dialog-title"), say(`new.${type}`));
              const made = many({ type, read, create, end });
              picker = made.picker;
              fill(stage, made.content);
              made.first.focus();
            },
          },
          h("span", { class: `kind-mark ${type}` }, icon(type === "group" ? "group" : "announce")),
          h(
            "span",
            { class: "kind-words" },
            h("span", { class: "kind-name" }, say(`new.${type}`)),
            h("span", { class: "kind-hint" }, say(`new.${type}Hint`)),
          ),
        ),
      );
      picker = new Picker({ read, strangers: true, onpick: (userId) => end({ userId }) });
      fill(stage, h("div", { class: "kinds" }, kinds), h("h3", { class: "part" }, say("new.direct")), picker.element);
      return [cross(end), stage];
    },
  });
}

/** Add people to a conversation. Resolves when closed; `add(ids)` may reject, and its words stand in the dialog then. */
export function addPeople({ read, add }) {
  let picker = null;
  return openDialog({
    title: say("about.add"),
    redraw: () => picker?.render(),
    content: (end) => {
      const { refusal, button, submit } = sending(say("about.addDo"), async () => {
        await add(picker.chosen);
        end(true);
      });
      picker = new Picker({
        read,
        many: true,
        strangers: true,
        onpick: () => (button.disabled = picker.chosen.length === 0),
      });
      button.disabled = true;
      button.addEventListener("click", submit);
      return [cross(end), picker.element, refusal, h("div", { class: "dialog-actions" }, button)];
    },
  });
}

function many({ type, read, create, end }) {
  const title = h("input", {
    class: "field",
    id: "new-title",
    type: "text",
    maxlength: MOST_TITLE,
    autocomplete: "off",
    placeholder: say(`new.${type}Example`),
    "data-testid": "new-title",
  });
  const joined = h("input", { type: "checkbox", id: "new-joined", "data-testid": "new-joined" });
  const picker = new Picker({ read, many: true, onpick: () => renew() });
  const { refusal, button, submit } = sending(say("new.create"), async () => {
    const conversationId = await create({
      type,
      title: title.value.trim() || null,
      participantIds: picker.chosen,
      history: joined.checked ? "joined" : "all",
    });
    end({ conversationId });
  });
  const renew = () => (button.disabled = picker.chosen.length === 0);
  renew();
  button.dataset.testid = "create";
  button.addEventListener("click", submit);
  const content = [
    h("label", { class: "field-label", for: "new-title" }, say("new.titleLabel")),
    title,
    h("h3", { class: "part" }, say("new.people")),
    picker.element,
    h("label", { class: "tick-line", for: "new-joined" }, joined, h("span", {}, say("new.joined"))),
    refusal,
    h("div", { class: "dialog-actions" }, button),
  ];
  return { content, picker, first: title };
}

// A button that does something which may be refused: meanwhile it cannot be pressed again, and the refusal is told beside it.
function sending(words, run) {
  const refusal = h("p", { class: "refusal", role: "alert" });
  const button = h("button", { class: "button", type: "button", "data-testid": "confirm" }, words);
  const submit = async () => {
    button.disabled = true;
    write(refusal, "");
    try {
      await run();
    } catch (error) {
      write(refusal, refused(error));
      button.disabled = false;
    }
  };
  return { refusal, button, submit };
}
