// What can be done with a message: a few buttons beside it, while somebody points at it, has the focus in it or has tapped it.

import { fill, h, icon } from "./dom.js";
import { say } from "./words.js";

// What a reaction can be chosen from.
const PALETTE = ["👍", "❤️", "😂", "😮", "😢", "🙏", "🎉", "👀"];
const ICONS = { react: "smile", reply: "reply", readers: "readers", edit: "edit", delete: "trash" };
// A finger cannot hover: it taps a message to see what can be done with it.
const TOUCH = matchMedia("(hover: none)");

export class Tools {
  #rowOf;
  #offers;
  #does;
  #boxes = new WeakMap();
  #hovered = null;
  #touched = null;

  /**
   * For the articles in `canvas`. `rowOf(article)` is the row that one shows, or null; `offers(row)` the names of what can be done
   * with it, each a function of `does` that takes the row; `react` takes an emoji, too.
   */
  constructor({ canvas, rowOf, offers, does }) {
    this.#rowOf = rowOf;
    this.#offers = offers;
    this.#does = does;
    canvas.addEventListener("pointerover", (event) => {
      if (event.pointerType !== "touch") this.#hover(event.target.closest("article"));
    });
    canvas.addEventListener("pointerleave", () => this.#hover(null));
    canvas.addEventListener("focusin", ({ target }) => {
      if (target.matches(":focus-visible")) this.#offer(target.closest("article"));
    });
    canvas.addEventListener("focusout", (event) => {
      const article = event.target.closest("article");
      // Where the focus goes is known a moment later; a button that gives place to another one loses it in between. A dialog
      // gives it back.
      setTimeout(() => {
        if (document.querySelector("dialog[open]") === null) this.#withdraw(article);
      });
    });
    canvas.addEventListener("click", (event) => this.#tapped(event));
  }

  /** The buttons of an article, as they have to be now; null where none are shown. */
  of(article) {
    const box = this.#boxes.get(article) ?? null;
    if (box !== null) this.#fill(article, box);
    return box;
  }

  #hover(article) {
    if (this.#hovered === article) return;
    const former = this.#hovered;
    this.#hovered = article;
    this.#withdraw(former);
    this.#offer(article);
  }

  #tapped({ target }) {
    const article = target.closest("article");
    if (!TOUCH.matches || article === null || target.closest("a, button")) return;
    const former = this.#touched;
    this.#touched = former === article ? null : article;
    this.#withdraw(former);
    this.#offer(this.#touched);
  }

  #offer(article) {
    if (article === null || this.#boxes.has(article)) return;
    const line = article.querySelector(".bubble-line");
    const box = h("div", { class: "tools" });
    if (line === null || !this.#fill(article, box)) return;
    this.#boxes.set(article, box);
    line.append(box);
  }

  #withdraw(article) {
    if (article === null || article === this.#hovered || article === this.#touched) return;
    const box = this.#boxes.get(article);
    const focused = article.contains(document.activeElement) ? document.activeElement : null;
    // A pointer leaves the focus behind where it clicked: that is nobody who is still there, unless the palette is open.
    if (!box || focused?.matches(":focus-visible") || (focused && box.classList.contains("choosing"))) return;
    box.remove();
    this.#boxes.delete(article);
  }

  // Anew only where other buttons are offered: one of them may have the focus. Returns whether there are any.
  #fill(article, box) {
    const offered = this.#offers(this.#rowOf(article));
    if (box.dataset.offered === offered.join()) return offered.length > 0;
    box.dataset.offered = offered.join();
    box.classList.remove("choosing", "below");
    fill(
      box,
      ...offered.map((name) =>
        h(
          "button",
          {
            class: "action",
            type: "button",
            "data-testid": `message-${name}`,
            "aria-label": say(`message.${name}`),
            title: say(`message.${name}`),
            onclick: () => (name === "react" ? this.#choose(article, box) : this.#does[name](this.#rowOf(article))),
          },
          icon(ICONS[name]),
        ),
      ),
    );
    return offered.length > 0;
  }

  // The buttons give place to the palette.
  #choose(article, box) {
    const { offered } = box.dataset;
    const back = () => {
      box.dataset.offered = "";
      this.#fill(article, box);
      box.firstElementChild?.focus({ preventScroll: true });
    };
    box.classList.add("choosing");
    fill(
      box,
      ...PALETTE.map((emoji) =>
        h(
          "button",
          {
            class: "action choice",
            type: "button",
            "data-testid": "reaction-choice",
            "data-emoji": emoji,
            "aria-label": say("reaction.with", { emoji }),
            onclick: () => {
              this.#does.react(this.#rowOf(article), emoji);
              back();
            },
          },
          emoji,
        ),
      ),
    );
    box.dataset.offered = offered;
    box.onkeydown = (event) => {
      const choices = [...box.querySelectorAll(".choice")];
      const at = choices.indexOf(event.target);
      const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
      if (at === -1 || (step === undefined && event.key !== "Escape")) return;
      event.preventDefault();
      event.stopPropagation();
      if (event.key === "Escape") back();
      else choices.at((at + step) % choices.length).focus();
    };
    // Over its upper edge, or under the lower one where the view ends.
    const isCut = box.getBoundingClientRect().top < article.closest(".scroller").getBoundingClientRect().top;
    box.classList.toggle("below", isCut);
    box.firstElementChild.focus({ preventScroll: true });
  }
}
