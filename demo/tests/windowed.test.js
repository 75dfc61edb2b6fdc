// @vitest-environment happy-dom
import assert from "node:assert/strict";
import { afterEach, beforeEach, test, vi } from "vitest";

import { Heights } from "../heights.js";
import { Windowed } from "../windowed.js";

const VIEW = 600;
// What stands above the list in what scrolls.
const ABOVE = 56;

const numbered = (from, to) => Array.from({ length: to - from }, (_, index) => item(from + index));
const item = (number) => ({ key: `k${number}`, number, row: {} });

test("heights: a line lies below all others above it, whatever was measured in between", () => {
  const heights = new Heights(() => 50);
  const items = numbered(0, 300);
  heights.set(items);
  const known = items.map(() => 50);
  for (let round = 0; round < 500; round += 1) {
    const index = (round * 7919) % items.length;
    known[index] = 20 + ((round * 31) % 90);
    heights.learn(items[index].key, known[index]);
    const asked = (round * 104729) % (items.length + 1);
    assert.equal(
      heights.top(asked),
      known.slice(0, asked).reduce((sum, height) => sum + height, 0),
    );
  }
  assert.equal(
    heights.total,
    known.reduce((sum, height) => sum + height, 0),
  );
});

test("heights: the line at a height is the one that covers it", () => {
  const heights = new Heights(({ number }) => 10 + number);
  heights.set(numbered(0, 50));
  for (let index = 0; index < 50; index += 1) {
    assert.equal(heights.at(heights.top(index)), index);
    assert.equal(heights.at(heights.top(index + 1) - 1), index);
  }
  assert.equal(heights.at(-100), 0);
  assert.equal(heights.at(1e9), 49);
});

test("heights: what was measured is remembered when lines come above, and when they come back", () => {
  const heights = new Heights(() => 50);
  heights.set(numbered(10, 20));
  assert.equal(heights.learn("k10", 70), true);
  assert.equal(heights.learn("k10", 70), false);
  heights.set(numbered(0, 20));
  assert.equal(heights.top(11), 570);
  heights.set(numbered(0, 5));
  heights.set(numbered(10, 12));
  assert.equal(heights.total, 120);
  heights.clear();
  assert.equal(heights.total, 0);
});

test("heights: a range covers the view, and has the least number of lines where there are so many", () => {
  const heights = new Heights(() => 50);
  heights.set(numbered(0, 1000));
  assert.deepEqual(heights.range(5000, 5499, 1), [100, 110]);
  const [from, to] = heights.range(5000, 5499, 40);
  assert.equal(to - from, 40);
  assert.ok(from <= 100 && to >= 110);
  assert.deepEqual(heights.range(0, 100, 40), [0, 40]);
  assert.deepEqual(heights.range(49_900, 50_000, 40), [960, 1000]);
  heights.set(numbered(0, 7));
  assert.deepEqual(heights.range(0, 100, 40), [0, 7]);
  heights.set([]);
  assert.deepEqual(heights.range(0, 100, 40), [0, 0]);
});

// A page whose lines have the heights that `high` says, and nothing else of a browser's layout.
let scroller, canvas, list, high, observed, resize, frames, drawn;

beforeEach(() => {
  vi.useFakeTimers();
  frames = [];
  observed = new Set();
  vi.stubGlobal("requestAnimationFrame", (frame) => frames.push(frame));
  vi.stubGlobal(
    "ResizeObserver",
    class {
      constructor(callback) {
        resize = callback;
      }
      observe(element) {
        observed.add(element);
      }
      unobserve(element) {
        observed.delete(element);
      }
    },
  );
  document.body.replaceChildren();
  scroller = document.createElement("div");
  canvas = document.createElement("div");
  scroller.append(canvas);
  document.body.append(scroller);
  const bottom = () => Math.max(VIEW, ABOVE + (parseFloat(canvas.style.height) || 0));
  let scrollTop = 0;
  Object.defineProperties(scroller, {
    clientHeight: { value: VIEW },
    scrollHeight: { get: bottom },
    scrollTop: {
      get: () => Math.min(scrollTop, bottom() - VIEW),
      set: (value) => (scrollTop = Math.max(0, Math.min(value, bottom() - VIEW))),
    },
  });
  Object.defineProperty(canvas, "offsetTop", { value: ABOVE });
  high = () => 60;
  drawn = [];
  list = new Windowed({
    scroller,
    canvas,
    estimate: () => 40,
    draw: (shown, element) => {
      drawn.push(shown.key);
      const made = element ?? document.createElement("article");
      made.tabIndex = -1;
      made.getBoundingClientRect = () => ({ height: high(shown) });
      return made;
    },
  });
});

afterEach(() => {
  vi.useRealTimers();
});

const shownAt = (key) => parseFloat(list.element(key).style.top) + ABOVE - scroller.scrollTop;
const below = () => scroller.scrollHeight - scroller.scrollTop - VIEW;

function scroll(top) {
  scroller.scrollTop = top;
  scroller.dispatchEvent(new Event("scroll"));
}

// What the browser does before it paints: tell the heights of what is in the document.
function measured() {
  const entries = [...observed]
    .filter((element) => element.parentElement === canvas)
    .map((target) => ({ target, borderBoxSize: [{ blockSize: target.getBoundingClientRect().height }] }));
  resize(entries);
  for (const frame of frames.splice(0)) frame();
}

test("only what is near the view is in the document, in the order of the list", () => {
  list.show(numbered(0, 5000));
  assert.ok(canvas.children.length <= 60);
  assert.equal(below(), 0);
  for (const top of [200_000, 90_000, 90_500, 0]) {
    scroll(top);
    measured();
    assert.ok(canvas.children.length <= 60, `${canvas.children.length} at ${top}`);
    const tops = [...canvas.children].map((element) => parseFloat(element.style.top));
    assert.deepEqual(
      tops,
      tops.toSorted((a, b) => a - b),
    );
    const [first, last] = list.seen;
    for (let index = first; index <= last; index += 1) assert.notEqual(list.element(list.items[index].key), null);
  }
});

test("a line that did not change is not drawn again", () => {
  const items = numbered(0, 30);
  list.show(items);
  drawn.length = 0;
  const edited = { ...items[29], number: 29 };
  list.show([...items.slice(0, 29), edited, item(30)]);
  assert.deepEqual(drawn, ["k29", "k30"]);
});

test("at the end, one stays at the end", () => {
  list.show(numbered(0, 200));
  list.show(numbered(0, 210));
  assert.equal(below(), 0);
  high = ({ number }) => (number === 205 ? 400 : 60);
  measured();
  assert.equal(below(), 0);
});

test("an older page above moves nothing in view", () => {
  list.show(numbered(1000, 1100));
  scroll(300);
  measured();
  vi.advanceTimersByTime(1000);
  const [first] = list.seen;
  const { key } = list.items[first + 2];
  const before = shownAt(key);
  list.show(numbered(950, 1100));
  assert.equal(shownAt(key), before);
  measured();
  vi.advanceTimersByTime(1000);
  assert.equal(shownAt(key), before);
  assert.ok(parseFloat(canvas.style.height) >= 150 * 40);
});

test("a line above the view that grows, shrinks or goes moves nothing in view", () => {
  list.show(numbered(0, 400));
  scroll(9000);
  measured();
  vi.advanceTimersByTime(1000);
  const [first] = list.seen;
  const { key } = list.items[first + 3];
  const before = shownAt(key);
  const above = list.items[first - 3].number;
  high = ({ number }) => (number === above ? 333 : 60);
  measured();
  assert.equal(shownAt(key), before);
  list.show(list.items.filter(({ number }) => number !== above));
  assert.equal(shownAt(key), before);
  vi.advanceTimersByTime(1000);
  assert.equal(shownAt(key), before);
});

test("while one scrolls up through lines of unknown height, the position is not assigned to; afterwards it is", () => {
  list.show(numbered(0, 2000));
  vi.advanceTimersByTime(1000);
  const start = 40_000;
  scroll(start);
  measured();
  vi.advanceTimersByTime(1000);
  const begin = scroller.scrollTop;
  for (let step = 1; step <= 10; step += 1) {
    const [first] = list.seen;
    const { key } = list.items[first + 1];
    const before = shownAt(key);
    scroll(begin - step * 100);
    measured();
    assert.equal(scroller.scrollTop, begin - step * 100);
    assert.equal(shownAt(key), before + 100);
    vi.advanceTimersByTime(16);
  }
  const [first] = list.seen;
  const { key } = list.items[first + 1];
  const before = shownAt(key);
  vi.advanceTimersByTime(1000);
  assert.notEqual(scroller.scrollTop, begin - 1000);
  assert.equal(shownAt(key), before);
});

test("the focused line stays in the document, wherever one scrolls", () => {
  list.show(numbered(0, 1000));
  const last = list.element("k999");
  last.focus();
  scroll(0);
  measured();
  assert.equal(document.activeElement, last);
  assert.equal(list.itemOf(last).key, "k999");
  assert.equal(canvas.lastElementChild, last);
  assert.ok(canvas.children.length <= 61);
  last.blur();
  scroll(100);
  assert.equal(last.isConnected, false);
});

test("to a line far away: it stands where it was wanted", () => {
  list.show(numbered(0, 3000));
  const element = list.toKey("k777", 100);
  assert.equal(element, list.element("k777"));
  assert.equal(shownAt("k777"), 100);
  measured();
  assert.equal(shownAt("k777"), 100);
  assert.equal(list.atEnd, false);
  assert.equal(list.toKey("nothing"), null);
  // There is not so much below it.
  list.toKey("k2999", 100);
  assert.equal(below(), 0);
  assert.equal(list.atEnd, true);
});

test("to see a line, one scrolls as little as it takes", () => {
  list.show(numbered(0, 300));
  list.toKey("k100", 0);
  measured();
  const top = scroller.scrollTop;
  list.reveal("k105");
  assert.equal(scroller.scrollTop, top);
  list.reveal("k112");
  assert.ok(scroller.scrollTop > top && shownAt("k112") + 60 <= VIEW);
  list.reveal("k90");
  assert.ok(shownAt("k90") >= 0 && shownAt("k90") < VIEW);
});

test("when nothing is left of what one looked at, one stands at the end", () => {
  list.show(numbered(0, 300));
  scroll(2000);
  measured();
  list.show(numbered(5000, 5050));
  assert.equal(below(), 0);
  assert.equal(list.atEnd, true);
});

test("nothing is measured while the page shows something else", () => {
  high = () => 0;
  list.show(numbered(0, 100));
  measured();
  assert.equal(parseFloat(canvas.style.height), 4000);
  high = () => 60;
  measured();
  assert.ok(parseFloat(canvas.style.height) > 4000);
});

test("another list begins at its end, with nothing of the former one", () => {
  list.show(numbered(0, 300));
  scroll(100);
  list.clear();
  assert.equal(canvas.children.length, 0);
  list.show(numbered(500, 800));
  assert.equal(below(), 0);
  assert.equal(list.element("k0"), null);
});
