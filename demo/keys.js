// The arrow keys in a list of buttons: up, down, first and last.

/**
 * Let the arrow keys move the focus among what matches `selector` inside `root`. Down in the field `from` goes into the list, and
 * up from its first one goes back there.
 */
export function walk(root, selector, { from = null } = {}) {
  const all = () => [...root.querySelectorAll(selector)];
  root.addEventListener("keydown", (event) => {
    const here = event.target.closest(selector);
    if (here === null || event.altKey || event.ctrlKey || event.metaKey) return;
    const items = all();
    const at = items.indexOf(here);
    const to = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, End: items.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) from?.focus();
    else items[Math.min(to, items.length - 1)].focus();
  });
  from?.addEventListener("keydown", (event) => {
    if (event.key !== "ArrowDown" || event.isComposing) return;
    const first = all()[0];
    if (first === undefined) return;
    event.preventDefault();
    first.focus();
  });
}
