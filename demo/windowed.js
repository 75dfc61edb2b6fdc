// A long list of which only what is near the view is in the document. It keeps its place: at the end while one stands there,
// else with the line that one looks at, whatever comes, goes or grows above and below it. It knows nothing of messages.
//
// Lines lie at absolute heights in a canvas as high as all of them. A height that turns out other than estimated, above the
// view, would move everything in view: instead the lines above give way (`drift`), and the difference is taken back when
// nobody scrolls, because an assignment to `scrollTop` in mid-scroll breaks the motion.

import { arrange } from "./dom.js";
import { Heights } from "./heights.js";

// Nearer to the end than this is at the end.
const AT_END_PX = 80;
// So many views above and below the view are in the document too, and never fewer lines than that.
const BEYOND = 1;
const LEAST = 40;
// Without an event for so long, nobody scrolls.
const REST_MS = 160;
// Each round measures what the one before brought into the document; more than two are rare.
const ROUNDS = 6;

export class Windowed {
  #scroller;
  #canvas;
  #draw;
  #onmoved;
  #heights;
  #items = [];
  #mounted = new Map();
  #keys = new WeakMap();
  #sizes;
  #drift = 0;
  #atEnd = true;
  #scrolledAt = -Infinity;
  #resting = null;
  #later = null;
  // What was read of the scroller, while nothing that is written may change it: reading it anew would lay out the page.
  #read = null;

  /**
   * `draw(item, element)` returns the item's element, the given one drawn anew if there is one; `estimate(item)` its height
   * before it was ever drawn; `onmoved()` hears of every scrolling. An item is `{key, …}`, and another object when it changed.
   */
  constructor({ scroller, canvas, draw, estimate, onmoved = () => {} }) {
    this.#scroller = scroller;
    this.#canvas = canvas;
    this.#draw = draw;
    this.#onmoved = onmoved;
    this.#heights = new Heights(estimate);
    this.#sizes = new ResizeObserver((entries) => this.#resized(entries));
    this.#sizes.observe(scroller);
    scroller.addEventListener("scroll", () => this.#scrolled(), { passive: true });
  }

  get items() {
    return this.#items;
  }

  get atEnd() {
    return this.#atEnd;
  }

  /** Pixels between the upper edge of the view and the beginning of the list. */
  get above() {
    return this.#view().top - this.#drift;
  }

  get viewHeight() {
    return this.#view().height;
  }

  /** Another list altogether, empty; the view is at its end. */
  clear() {
    for (const { element } of this.#mounted.values()) this.#unmount(element);
    this.#mounted.clear();
    this.#items = [];
    this.#heights.clear();
    this.#drift = 0;
    this.#atEnd = true;
    this.#lay();
  }

  /** The list as it is now. */
  show(items) {
    const anchors = this.#atEnd ? [] : this.#anchors();
    this.#items = items;
    this.#heights.set(items);
    for (const [key, { element }] of this.#mounted) {
      if (this.#heights.indexOf(key) !== undefined) continue;
      this.#unmount(element);
      this.#mounted.delete(key);
    }
    const anchor = anchors.find(({ key }) => this.#heights.indexOf(key) !== undefined);
    if (anchor !== undefined) this.#drift = anchor.y - this.#heights.top(this.#heights.indexOf(anchor.key));
    // Nothing is left of what one looked at.
    else this.#atEnd = true;
    this.#converge(anchor);
  }

  /** Every line in the document is drawn anew: what it depends on besides its item has changed. */
  redraw() {
    const [anchor] = this.#atEnd ? [] : this.#anchors();
    for (const held of this.#mounted.values()) held.item = null;
    this.#converge(anchor);
  }

  /** To the end; smoothly if it is near enough for that to be quick. */
  toEnd({ smooth = false } = {}) {
    const { height, below } = this.#view();
    if (smooth && below < 3 * height && !isCalm()) {
      this.#settle(true);
      this.#scroller.scrollTo({ top: this.#scroller.scrollHeight, behavior: "smooth" });
      return;
    }
    this.#atEnd = true;
    this.#converge();
    this.#onmoved();
  }

  /** So that a line begins `offset` pixels below the upper edge. Returns its element, or null where there is no such line. */
  toKey(key, offset = 0) {
    const index = this.#heights.indexOf(key);
    if (index === undefined) return null;
    this.#atEnd = false;
    for (let round = 0; round < ROUNDS; round += 1) {
      this.#drift = 0;
      this.#lay();
      this.#scroller.scrollTop = this.#base() + this.#heights.top(index) - offset;
      this.#mount();
      if (!this.#measure()) break;
    }
    this.#lay();
    this.#atEnd = this.#view().below < AT_END_PX;
    this.#onmoved();
    return this.#mounted.get(key)?.element ?? null;
  }

  /** Scroll as little as it takes to see a line. Returns its element. */
  reveal(key) {
    const index = this.#heights.indexOf(key);
    if (index === undefined) return null;
    const { top, height } = this.#view();
    const y = this.#drift + this.#heights.top(index);
    const high = this.#heights.height(index);
    if (!this.#mounted.has(key) || y < top) return this.toKey(key, Math.min(48, height / 4));
    if (y + high > top + height) return this.toKey(key, Math.max(height - high - 24, 24));
    return this.#mounted.get(key).element;
  }

  /** The element of a line, while it is in the document. */
  element(key) {
    return this.#mounted.get(key)?.element ?? null;
  }

  /** The item to which an element in the list belongs; null elsewhere. */
  itemOf(element) {
    while (element !== null && element.parentElement !== this.#canvas) element = element.parentElement;
    const index = element === null ? undefined : this.#heights.indexOf(this.#keys.get(element));
    return index === undefined ? null : this.#items[index];
  }

  /** The first and the last line that can be seen, as indices. */
  get seen() {
    const { top, height } = this.#view();
    return [this.#heights.at(top - this.#drift), this.#heights.at(top + height - this.#drift - 1)];
  }

  /** Pixels between the upper edge of the view and a line. */
  distance(key) {
    return this.#heights.top(this.#heights.indexOf(key)) - this.above;
  }

  // The part of the canvas that is seen, and how much there is below it.
  #view() {
    if (this.#read !== null) return this.#read;
    const { scrollTop, clientHeight, scrollHeight } = this.#scroller;
    return { top: scrollTop - this.#base(), height: clientHeight, below: scrollHeight - scrollTop - clientHeight };
  }

  // Where the canvas begins in what scrolls.
  #base() {
    return this.#canvas.offsetTop;
  }

  #scrolled() {
    this.#scrolledAt = performance.now();
    this.#read = this.#view();
    this.#atEnd = this.#read.below < AT_END_PX;
    this.#onmoved();
    this.#mount();
    this.#settle();
    this.#read = null;
  }

  // Bring what is near the view into the document, and take out what is not; the focused line stays wherever it is.
  #mount() {
    const { top, height } = this.#view();
    const y = top - this.#drift;
    const [from, to] = this.#heights.range(y - BEYOND * height, y + (1 + BEYOND) * height, LEAST);
    const wanted = this.#items.slice(from, to);
    const focused = this.itemOf(document.activeElement);
    if (focused !== null && !wanted.includes(focused)) {
      if (this.#heights.indexOf(focused.key) < from) wanted.unshift(focused);
      else wanted.push(focused);
    }
    const keys = new Set();
    let isOther = wanted.length !== this.#mounted.size;
    for (const item of wanted) {
      keys.add(item.key);
      const held = this.#mounted.get(item.key);
      if (held?.item === item) continue;
      const element = this.#draw(item, held?.element ?? null);
      if (held !== undefined) held.item = item;
      else {
        isOther = true;
        this.#mounted.set(item.key, { element, item, top: null });
        this.#keys.set(element, item.key);
        this.#sizes.observe(element);
      }
    }
    if (!isOther) return;
    for (const [key, { element }] of this.#mounted) {
      if (keys.has(key)) continue;
      this.#unmount(element);
      this.#mounted.delete(key);
    }
    this.#place();
    arrange(
      this.#canvas,
      wanted.map(({ key }) => this.#mounted.get(key).element),
    );
  }

  #unmount(element) {
    this.#sizes.unobserve(element);
    element.remove();
  }

  #place() {
    for (const [key, held] of this.#mounted) {
      const top = Math.round(this.#drift + this.#heights.top(this.#heights.indexOf(key)));
      if (held.top === top) continue;
      held.top = top;
      held.element.style.top = `${top}px`;
    }
  }

  #lay() {
    this.#place();
    this.#canvas.style.height = `${Math.max(0, Math.round(this.#drift + this.#heights.total))}px`;
  }

  // Measure what is in the document now. Returns whether anything was other than thought.
  #measure() {
    let isNews = false;
    for (const [key, { element }] of this.#mounted) {
      const { height } = element.getBoundingClientRect();
      // Nothing has a height while the page shows something else.
      if (height > 0 && this.#heights.learn(key, height)) isNews = true;
    }
    return isNews;
  }

  // Mount and measure until it fits, with the end or the anchor where it was.
  #converge(anchor) {
    for (let round = 0; round < ROUNDS; round += 1) {
      this.#lay();
      if (this.#atEnd) {
        this.#drift = 0;
        this.#lay();
        this.#scroller.scrollTop = this.#scroller.scrollHeight;
      }
      this.#mount();
      if (!this.#measure()) break;
      if (anchor) this.#drift = anchor.y - this.#heights.top(this.#heights.indexOf(anchor.key));
    }
    this.#lay();
    if (this.#atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#settle();
  }

  // Lines by which to tell where one looks, best first: whole ones below the upper edge, then those above it.
  #anchors() {
    if (this.#items.length === 0) return [];
    const { top, height } = this.#view();
    const first = this.#heights.at(top - this.#drift);
    const last = this.#heights.at(top + height - this.#drift);
    const anchors = [];
    const add = (index) => anchors.push({ key: this.#items[index].key, y: this.#drift + this.#heights.top(index) });
    const isCut = this.#drift + this.#heights.top(first) < top && last > first;
    for (let index = first + (isCut ? 1 : 0); index <= last; index += 1) add(index);
    if (isCut) add(first);
    for (let index = first - 1; index >= Math.max(0, first - LEAST); index -= 1) add(index);
    for (let index = last + 1; index < Math.min(this.#items.length, last + LEAST); index += 1) add(index);
    // Lines between messages come and go more easily than messages.
    const lasts = ({ key }) => this.#items[this.#heights.indexOf(key)].row !== undefined;
    return [...anchors.filter(lasts), ...anchors.filter((anchor) => !lasts(anchor))];
  }

  #resized(entries) {
    const [anchor] = this.#atEnd ? [] : this.#anchors();
    let isNews = false;
    for (const { target, borderBoxSize } of entries) {
      const key = this.#keys.get(target);
      const height = borderBoxSize[0].blockSize;
      if (key !== undefined && height > 0 && this.#heights.learn(key, height)) isNews = true;
    }
    if (isNews && anchor) this.#drift = anchor.y - this.#heights.top(this.#heights.indexOf(anchor.key));
    if (isNews) this.#lay();
    if (this.#atEnd) this.#scroller.scrollTop = this.#scroller.scrollHeight;
    this.#settle();
    // What is missing now is brought in by the next frame: an observer that brings in what it observes goes round in circles.
    this.#later ??= requestAnimationFrame(() => {
      this.#later = null;
      this.#read = this.#view();
      this.#onmoved();
      this.#mount();
      this.#read = null;
    });
  }

  // Take the drift back, when nobody scrolls or where the beginning is near.
  #settle(now = false) {
    if (this.#drift === 0) return;
    const { top, height } = this.#view();
    const isNear = top < Math.max(this.#drift, 0) + 2 * height;
    if (!now && !isNear && performance.now() - this.#scrolledAt < REST_MS) {
      clearTimeout(this.#resting);
      this.#resting = setTimeout(() => this.#settle(), REST_MS);
      return;
    }
    const scrollTop = this.#scroller.scrollTop - this.#drift;
    this.#drift = 0;
    this.#read = null;
    this.#lay();
    this.#scroller.scrollTop = scrollTop;
  }
}

const isCalm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;
