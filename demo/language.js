// The switch between the languages of the page.

import { h, icon } from "./dom.js";
import { LANGUAGES, chooseLanguage, language, say } from "./words.js";

/** One element, to be put where there is something to see: before the chat, or below the list. */
export function languageSwitch() {
  const select = h(
    "select",
    { class: "language-choice", id: "language", "data-testid": "language", "aria-label": say("app.language") },
    Object.entries(LANGUAGES).map(([code, name]) => h("option", { value: code, lang: code }, name)),
  );
  select.value = language;
  select.addEventListener("change", () => chooseLanguage(select.value));
  return h("div", { class: "language", title: say("app.language") }, icon("globe"), select);
}
