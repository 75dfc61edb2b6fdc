// How high the lines of a long list are, and so where each of them lies: as measured where it was in the document once, as
// estimated elsewhere. Pixels. Pure.

export class Heights {
  #estimate;
  #measured = new Map();
  #keys = [];
  #indices = new Map();
  #heights = new Float64Array(0);
  // #tops[i] is right for every i up to #exact; what comes after is added up when it is asked for.
  #tops = new Float64Array(1);
  #exact = 0;

  /** `estimate(item)`: of one that was never measured. */
  constructor(estimate) {
    this.#estimate = estimate;
  }

  /** These are the lines now, from above. What was measured is remembered by `key`. */
  set(items) {
    const { length } = items;
    this.#keys = items.map(({ key }) => key);
    this.#indices = new Map(this.#keys.map((key, index) => [key, index]));
    this.#heights = Float64Array.from(items, (item) => this.#measured.get(item.key) ?? this.#estimate(item));
    this.#tops = new Float64Array(length + 1);
    this.#exact = 0;
  }

  clear() {
    this.#measured.clear();
    this.set([]);
  }

  get length() {
    return this.#keys.length;
  }

  get total() {
    return this.top(this.length);
  }

  /** Undefined where there is no such line. */
  indexOf(key) {
    return this.#indices.get(key);
  }

  height(index) {
    return this.#heights[index];
  }

  /** Where a line begins; the end of the last one for an index that is one too high. */
  top(index) {
    for (; this.#exact < index; this.#exact += 1)
      this.#tops[this.#exact + 1] = this.#tops[this.#exact] + this.#heights[this.#exact];
    return this.#tops[index];
  }

  /** It was measured. Returns whether that is news. */
  learn(key, height) {
    this.#measured.set(key, height);
    const index = this.#indices.get(key);
    if (index === undefined || this.#heights[index] === height) return false;
    this.#heights[index] = height;
    this.#exact = Math.min(this.#exact, index);
    return true;
  }

  /** The index of the line at `y`; the nearest one where `y` is above the first or below the last. */
  at(y) {
    this.top(this.length);
    let low = 0;
    let high = Math.max(0, this.length - 1);
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#tops[middle] <= y) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  /** The lines between two heights, as `[from, to)`: `least` of them at any rate, if there are so many. */
  range(top, bottom, least) {
    if (this.length === 0) return [0, 0];
    let from = this.at(top);
    let to = this.at(bottom) + 1;
    const missing = Math.min(least, this.length) - (to - from);
    if (missing > 0) {
      from = Math.max(0, from - Math.ceil(missing / 2));
      to = Math.min(this.length, Math.max(to, from + least));
      from = Math.max(0, Math.min(from, to - least));
    }
    return [from, to];
  }
}
