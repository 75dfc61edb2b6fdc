// What hangs on messages, as elements. An upload has no address of its own: its link is asked for when it comes near the view, and
// once more where that has expired. What lies elsewhere is a link and nothing else: it is never loaded by itself.

import { boxOf, isPicture } from "./boxes.js";
import { isUpload, link } from "./client/files.js";
import { fileLine, fileName, foreignFile } from "./content.js";
import { cross, openDialog } from "./dialogs.js";
import { fill, h, icon } from "./dom.js";
import { sizeOf } from "./format.js";
import { shownAddress } from "./picture.js";
import { refused, say } from "./words.js";

/** @import { Attachment } from "./client/types.js" */

// So far from the view a picture begins to load.
const NEAR = "240px 0px";
// What failed for want of a network is tried again after so long, where nobody noticed that it was gone.
const AGAIN_MS = 10_000;
// What may come with another attempt, once there is a network again.
const OF_THE_NETWORK = new Set(["unreachable", "disconnected", "unavailable", "rate_limited", "timeout", "no_token"]);

export class Attached {
  #client;
  #ontrouble;
  #near;
  /** Frame → the picture in it. @type {WeakMap<HTMLElement, Attachment>} */
  #pictures = new WeakMap();
  // Frames whose picture could not be had for want of a network.
  #waiting = new Set();
  #later = null;

  /** `scroller`: what they scroll in. `ontrouble(words)` where a file cannot be had. */
  constructor({ client, scroller, ontrouble }) {
    this.#client = client;
    this.#ontrouble = ontrouble;
    this.#near = new IntersectionObserver((entries) => this.#came(entries), { root: scroller, rootMargin: NEAR });
    client.on("status", () => this.#again());
  }

  /** One element with all of them. @param {Attachment[]} attachments */
  of(attachments) {
    const pictures = attachments.filter(isPicture);
    const others = attachments.filter((one) => !isPicture(one));
    return h(
      "span",
      { class: "attachments" },
      pictures.length > 0 &&
        h(
          "span",
          { class: pictures.length > 1 ? "shots tiles" : "shots", "data-count": pictures.length },
          ...pictures.map((one) => this.#frame(one, pictures.length === 1)),
        ),
      ...others.map((one) => (isUpload(one) ? this.#file(one) : foreignFile(one))),
    );
  }

  #frame(picture, isAlone) {
    const name = fileName(picture);
    const frame = h(
      "button",
      {
        class: "shot",
        type: "button",
        tabindex: -1,
        title: name,
        "aria-label": say("file.open", { name }),
        "data-testid": "picture",
        "data-state": "waiting",
        onclick: () => this.#open(picture, frame),
      },
      icon("picture"),
    );
    if (isAlone) {
      const { width, height } = boxOf(picture);
      frame.style.width = `${width}px`;
      frame.style.aspectRatio = `${width} / ${height}`;
      // Not made larger than it is.
      frame.classList.toggle("tiny", picture.width < width || picture.height < height);
    }
    this.#pictures.set(frame, picture);
    this.#near.observe(frame);
    return frame;
  }

  #file(file) {
    const name = fileName(file);
    const button = h(
      "button",
      {
        class: "attachment",
        type: "button",
        tabindex: -1,
        title: say("file.download", { name }),
        "data-testid": "file",
        onclick: () => this.#download(file, button),
      },
      ...fileLine(file),
      h("span", { class: "attachment-do" }, icon("download")),
    );
    return button;
  }

  #came(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      this.#near.unobserve(target);
      this.#load(target);
    }
  }

  // `isAgain`: with another link, for the one that was held did not work.
  async #load(frame, isAgain = false) {
    const picture = this.#pictures.get(frame);
    frame.dataset.state = "waiting";
    try {
      const { url, thumbnail_url } = await link(this.#client, picture, { fresh: isAgain });
      const address = shownAddress(new URL(thumbnail_url ?? url, document.baseURI).href, document.baseURI);
      if (address === null) return this.#tell(frame, "broken");
      const image = h("img", {
        class: "shot-image",
        alt: "",
        draggable: "false",
        decoding: "async",
        referrerpolicy: "no-referrer",
        onload: () => this.#tell(frame, "shown"),
        onerror: () => {
          image.remove();
          if (isAgain) this.#tell(frame, "broken");
          else this.#load(frame, true);
        },
        src: address,
      });
      fill(frame, icon("picture"), image);
    } catch (error) {
      this.#tell(frame, "broken");
      if (!OF_THE_NETWORK.has(error.code)) return;
      this.#waiting.add(frame);
      this.#later ??= setTimeout(() => ((this.#later = null), this.#again()), AGAIN_MS);
    }
  }

  #again() {
    if (this.#client.status.state !== "online") return;
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const frame of waiting) if (frame.isConnected) this.#near.observe(frame);
  }

  #tell(frame, state) {
    frame.dataset.state = state;
    if (state === "broken") fill(frame, icon("broken"));
  }

  async #open(picture, frame) {
    // A click is another attempt.
    if (frame.dataset.state === "broken") this.#load(frame, true);
    const name = fileName(picture);
    const { width, height } = picture;
    const place = h("div", { class: "viewer-place", "data-state": "loading" });
    place.style.width = `min(1100px, calc(100vw - 68px), ${width}px, calc(70dvh * ${(width / height).toFixed(4)}))`;
    place.style.aspectRatio = `${width} / ${height}`;
    const thumbnail = frame.querySelector("img");
    const show = (address) => {
      const image = h("img", {
        class: "viewer-image",
        alt: name,
        draggable: "false",
        referrerpolicy: "no-referrer",
        onload: () => ((place.dataset.state = "shown"), fill(place, image)),
        // Not every browser shows every kind: the small one is of a kind that all do.
        onerror: () => (place.dataset.state = thumbnail === null ? "broken" : "small"),
        src: address,
      });
    };
    if (thumbnail !== null) fill(place, h("img", { class: "viewer-image", alt: "", src: thumbnail.src }));
    const load = async () => {
      try {
        const { url } = await link(this.#client, picture);
        const address = shownAddress(new URL(url, document.baseURI).href, document.baseURI);
        if (address === null) place.dataset.state = "broken";
        else show(address);
      } catch (error) {
        place.dataset.state = "broken";
        this.#ontrouble(wordsOf(error));
      }
    };
    load();
    await openDialog({
      title: name,
      wide: true,
      content: (end) => [
        cross(end),
        h(
          "div",
          { class: "viewer", "data-testid": "viewer" },
          place,
          h(
            "div",
            { class: "viewer-foot" },
            h("span", { class: "viewer-size" }, sizeOf(picture.size)),
            h(
              "button",
              {
                class: "button quiet",
                type: "button",
                "data-testid": "download",
                onclick: (event) => this.#download(picture, event.currentTarget),
              },
              icon("download"),
              say("file.downloadDo"),
            ),
          ),
        ),
      ],
    });
  }

  async #download(file, button) {
    if (button.getAttribute("aria-busy") === "true") return;
    button.setAttribute("aria-busy", "true");
    try {
      const { url } = await link(this.#client, file);
      // A daemon under another origin says itself that this is to be kept, and not shown.
      h("a", { href: url, download: fileName(file), target: "_blank", rel: "noopener noreferrer" }).click();
    } catch (error) {
      this.#ontrouble(wordsOf(error));
    } finally {
      button.removeAttribute("aria-busy");
    }
  }
}

// Not there, or not for us: they look alike on purpose.
const wordsOf = (error) => (error.status === 404 ? say("file.gone") : refused(error));
