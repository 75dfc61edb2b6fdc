// Files that come in besides the button: dropped onto the conversation, or pasted.

import { h, icon } from "./dom.js";
import { say } from "./words.js";

/**
 * `target`: where they may be dropped. `isOpen()`: whether they can be taken now; `onfiles(files)` takes them. What is dropped
 * elsewhere on the page goes nowhere: the browser would leave the page for it.
 */
export function takeFiles({ target, isOpen, onfiles }) {
  const veil = h("div", { class: "veil", "data-testid": "veil", "aria-hidden": "true", hidden: true });
  veil.append(h("span", { class: "veil-words" }, icon("attach"), say("drop.here")));
  target.append(veil);
  // Each element that is entered is told before the one that is left is.
  let inside = 0;

  target.addEventListener("dragenter", (event) => {
    if (!hasFiles(event)) return;
    inside += 1;
    veil.hidden = !isOpen();
  });
  target.addEventListener("dragleave", (event) => {
    if (!hasFiles(event)) return;
    inside = Math.max(0, inside - 1);
    if (inside === 0) veil.hidden = true;
  });
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    event.dataTransfer.dropEffect = target.contains(event.target) && isOpen() ? "copy" : "none";
  });
  document.addEventListener("drop", (event) => {
    inside = 0;
    veil.hidden = true;
    if (!hasFiles(event)) return;
    event.preventDefault();
    if (target.contains(event.target) && isOpen()) onfiles(filesOf(event.dataTransfer));
  });

  target.addEventListener("paste", (event) => {
    const { clipboardData } = event;
    // Office programs add a picture of the text that they copy: it is the text that is meant.
    const isText = ["text/plain", "text/html"].every((type) => clipboardData?.types.includes(type));
    if (isText || !clipboardData?.files.length || !isOpen()) return;
    event.preventDefault();
    onfiles(filesOf(clipboardData));
  });
}

const hasFiles = ({ dataTransfer }) => dataTransfer?.types.includes("Files") ?? false;

// A folder looks like a file, and cannot be read.
function filesOf({ items, files }) {
  const folders = [...(items ?? [])].flatMap((item) =>
    item.kind === "file" && item.webkitGetAsEntry?.()?.isDirectory ? [item.getAsFile()?.name] : [],
  );
  return [...files].filter(({ name }) => !folders.includes(name));
}
