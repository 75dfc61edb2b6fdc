// What is to be sent with the next message of each conversation: files on their way to the daemon, above the field. They go at once
// when they are chosen, a few at a time; what could not go for want of a network goes when there is one again. For no longer than the
// page: nobody can keep a file across a reload.

import { unturned } from "./client/text.js";
import { upload } from "./client/files.js";
import { fill, h, icon, write } from "./dom.js";
import { percentOf, sizeOf } from "./format.js";
import { refused, say } from "./words.js";

/** How many files a message may carry. */
export const MOST_FILES = 10;
const MOST_AT_ONCE = 3;
// What is no refusal, and goes by itself with the next connection.
const OF_THE_NETWORK = new Set(["unreachable", "disconnected", "unavailable", "timeout"]);
const TOO_LARGE = 413;
const NOT_ALLOWED = 415;
// Drawn by browsers wherever they run.
const PREVIEWED = /^image\/(png|jpeg|gif|webp|avif|bmp)$/;

/**
 * @typedef {object} Item
 * @property {File} file
 * @property {"waiting"|"going"|"there"|"failed"} state  `failed`: see `error`. `waiting`: for its turn, or for a connection.
 * @property {string|null} preview  An object URL, which is given back.
 */

export class Tray {
  #client;
  #mostBytes;
  #onchange;
  #onready;
  #ontrouble;
  // conversation id → {items, isAwaited, isBlocked}: whether the message waits for them, or was kept back because of one.
  #parcels = new Map();
  #id = null;
  #list;
  #status;

  /**
   * `mostBytes`: of a file, or null where that is not known. `onchange(id)`: other files, or in another state. `onready(id)`: the
   * message that was to wait for its files can go. `ontrouble(words)`.
   */
  constructor({ client, mostBytes = null, onchange, onready, ontrouble }) {
    this.#client = client;
    this.#mostBytes = mostBytes;
    this.#onchange = onchange;
    this.#onready = onready;
    this.#ontrouble = ontrouble;
    this.#list = h("ul", { class: "tray-files", "aria-label": say("tray.label") });
    this.#status = h("p", { class: "tray-status", role: "status", "data-testid": "tray-status" });
    this.element = h("div", { class: "tray", "data-testid": "tray", hidden: true }, this.#list, this.#status);
    client.on("status", () => this.#surroundings());
  }

  /** Another conversation is open. */
  show(id) {
    this.#id = id;
    this.#draw();
  }

  /** Put in files, as many as there is room for. @param {string} id @param {Iterable<File>} files */
  add(id, files) {
    const parcel = this.#parcels.get(id) ?? { items: [], isAwaited: false, isBlocked: false };
    const room = MOST_FILES - parcel.items.length;
    const chosen = [...files];
    if (chosen.length > room) this.#ontrouble(say("tray.tooMany", { count: MOST_FILES }));
    if (chosen.length === 0 || room <= 0) return;
    parcel.isAwaited = false;
    parcel.items.push(...chosen.slice(0, room).map((file) => this.#made(id, file)));
    this.#parcels.set(id, parcel);
    this.#next();
    this.#changed(id);
  }

  isEmpty(id) {
    return !this.#parcels.has(id);
  }

  /** Whether all of them are there, so that the message can go. */
  isReady(id) {
    return this.#itemsOf(id).every(({ state }) => state === "there");
  }

  /** Whether a message waits for its files. */
  isAwaited(id) {
    return this.#parcels.get(id)?.isAwaited ?? false;
  }

  /** The message is to go when its files are there. What was refused stands in the way. */
  await(id) {
    const isBlocked = this.#itemsOf(id).some(isRefused);
    Object.assign(this.#parcels.get(id), { isAwaited: !isBlocked, isBlocked });
    if (!isBlocked) this.#retryAll(id);
    this.#changed(id);
  }

  /** It is not to go by itself. */
  relax(id) {
    if (!this.isAwaited(id)) return;
    this.#parcels.get(id).isAwaited = false;
    this.#changed(id);
  }

  /** What the message carries. */
  attachments(id) {
    return this.#itemsOf(id).map(({ attachment }) => attachment);
  }

  /** It was sent: the tray is empty. */
  clear(id) {
    for (const item of this.#itemsOf(id)) this.#giveBack(item);
    this.#parcels.delete(id);
    this.#changed(id);
  }

  #itemsOf(id) {
    return this.#parcels.get(id)?.items ?? [];
  }

  #made(id, file) {
    const isTooLarge = this.#mostBytes !== null && file.size > this.#mostBytes;
    const item = {
      ...{ id, file, name: unturned(file.name) || say("list.attachment"), sent: 0 },
      ...{ state: isTooLarge ? "failed" : "waiting", error: isTooLarge ? { status: TOO_LARGE } : null },
      ...{ preview: PREVIEWED.test(file.type) ? URL.createObjectURL(file) : null, attachment: null, ending: null },
    };
    const { name, preview } = item;
    const progress = h("progress", {
      class: "tray-progress",
      max: 1,
      value: 0,
      "aria-label": say("tray.going", { name }),
    });
    const words = h("span", { class: "tray-words" });
    const again = h(
      "button",
      {
        class: "tray-button",
        type: "button",
        "data-testid": "tray-retry",
        "aria-label": say("tray.retry", { name }),
        title: say("tray.retry", { name }),
        onclick: () => this.#retry(item),
      },
      icon("again"),
    );
    const remove = h(
      "button",
      {
        class: "tray-button",
        type: "button",
        "data-testid": "tray-remove",
        "aria-label": say("tray.remove", { name }),
        title: say("tray.remove", { name }),
        onclick: () => this.#remove(item),
      },
      icon("close"),
    );
    const face = h("span", { class: "tray-face" }, icon(file.type.startsWith("image/") ? "picture" : "file"));
    if (preview !== null) {
      const image = h("img", { class: "tray-preview", alt: "", draggable: "false", src: preview });
      // What says that it is a picture, and is none.
      image.onerror = () => image.remove();
      face.append(image);
    }
    const element = h(
      "li",
      { class: "tray-file", "data-testid": "tray-file", title: name },
      face,
      h("span", { class: "tray-text" }, h("bdi", { class: "tray-name" }, name), words, progress),
      again,
      remove,
    );
    item.parts = { element, progress, words, again, remove };
    return item;
  }

  // Those that were chosen first go first, whatever conversation they are for.
  #next() {
    const all = [...this.#parcels.values()].flatMap(({ items }) => items);
    const going = all.filter(({ state }) => state === "going").length;
    if (this.#client.status.state !== "online") return;
    for (const item of all.filter(({ state }) => state === "waiting").slice(0, Math.max(0, MOST_AT_ONCE - going)))
      this.#go(item);
  }

  async #go(item) {
    const { id, file } = item;
    const ending = new AbortController();
    Object.assign(item, { state: "going", error: null, sent: 0, ending });
    try {
      item.attachment = await upload(this.#client, file, {
        signal: ending.signal,
        onProgress: (sent) => {
          item.sent = sent;
          this.#drawItem(item);
        },
      });
      item.state = "there";
    } catch (error) {
      if (ending.signal.aborted) return;
      item.error = error;
      // Whoever is without a network waits; what fails with one is told.
      item.state = isOfTheNetwork(error) && this.#client.status.state !== "online" ? "waiting" : "failed";
      if (!isOfTheNetwork(error)) this.#fell(id);
    } finally {
      item.ending = null;
      this.#next();
    }
    this.#changed(id);
    const parcel = this.#parcels.get(id);
    if (parcel?.isAwaited && this.isReady(id)) this.#onready(id);
  }

  // A message does not wait for what will not come.
  #fell(id) {
    const parcel = this.#parcels.get(id);
    if (parcel?.isAwaited) Object.assign(parcel, { isAwaited: false, isBlocked: true });
  }

  #retry(item) {
    Object.assign(item, { state: "waiting", error: null });
    this.#next();
    this.#changed(item.id);
    item.parts.remove.focus({ preventScroll: true });
  }

  #retryAll(id = null) {
    for (const [of, { items }] of this.#parcels)
      for (const item of id === null || of === id ? items : [])
        if (item.state === "failed" && isOfTheNetwork(item.error))
          Object.assign(item, { state: "waiting", error: null });
    this.#next();
  }

  #remove(item) {
    const { id } = item;
    const parcel = this.#parcels.get(id);
    const at = parcel.items.indexOf(item);
    parcel.items.splice(at, 1);
    // Whoever takes one out thinks again.
    parcel.isAwaited = false;
    this.#giveBack(item);
    if (parcel.items.length === 0) this.#parcels.delete(id);
    this.#next();
    const neighbour = parcel.items[at] ?? parcel.items[at - 1];
    this.#changed(id);
    neighbour?.parts.remove.focus({ preventScroll: true });
  }

  #giveBack(item) {
    item.ending?.abort();
    if (item.preview !== null) URL.revokeObjectURL(item.preview);
    item.preview = null;
  }

  // The network came or went.
  #surroundings() {
    if (this.#parcels.size === 0) return;
    if (this.#client.status.state === "online") this.#retryAll();
    this.#draw();
  }

  #changed(id) {
    if (id === this.#id) this.#draw();
    this.#onchange(id);
  }

  #draw() {
    const items = this.#itemsOf(this.#id);
    this.element.hidden = items.length === 0;
    const focused = this.#list.contains(document.activeElement) ? document.activeElement : null;
    const wanted = items.map(({ parts }) => parts.element);
    if (wanted.some((element, at) => this.#list.children[at] !== element) || this.#list.children.length > wanted.length)
      fill(this.#list, wanted);
    if (focused?.isConnected && document.activeElement !== focused) focused.focus({ preventScroll: true });
    for (const item of items) this.#drawItem(item);
    const isOffline = this.#client.status.state !== "online" && !this.isReady(this.#id);
    const isBlocked = this.#parcels.get(this.#id)?.isBlocked && items.some(isRefused);
    write(
      this.#status,
      isBlocked
        ? say("tray.blocked")
        : isOffline
          ? say("tray.offline")
          : this.isAwaited(this.#id)
            ? say("tray.awaited")
            : "",
    );
  }

  #drawItem({ parts, state, sent, error, file }) {
    const { element, progress, words, again } = parts;
    element.dataset.state = state;
    progress.hidden = state !== "going" && state !== "waiting";
    progress.value = file.size > 0 ? sent / file.size : 0;
    again.hidden = state !== "failed" || !isWorthIt(error);
    const size = sizeOf(file.size);
    const told = {
      waiting: size,
      going: say("tray.sent", { percent: percentOf(progress.value), size }),
      there: size,
      failed: state === "failed" ? this.#refusal(error) : "",
    };
    write(words, told[state]);
    if (state === "failed") words.setAttribute("role", "alert");
    else words.removeAttribute("role");
    words.title = state === "failed" ? told.failed : "";
  }

  #refusal(error) {
    if (error.status === TOO_LARGE)
      return this.#mostBytes === null
        ? say("file.tooLarge")
        : say("file.largerThan", { size: sizeOf(this.#mostBytes) });
    return error.status === NOT_ALLOWED ? say("file.notAllowed") : refused(error);
  }
}

const isRefused = ({ state, error }) => state === "failed" && !isOfTheNetwork(error);

const isOfTheNetwork = (error) => OF_THE_NETWORK.has(error?.code);

// What was refused for what it is will be refused again.
const isWorthIt = (error) => error?.status !== TOO_LARGE && error?.status !== NOT_ALLOWED;
