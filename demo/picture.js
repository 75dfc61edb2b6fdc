// Which addresses of pictures are shown. People write them as they like: this is the only way from there into the page.

/** The address if it may be shown, else null: a whole one, of `https:` or of the origin of `page`, without credentials. */
export function shownAddress(address, page) {
  if (typeof address !== "string") return null;
  let url;
  try {
    url = new URL(address);
  } catch {
    return null;
  }
  // A blob has the origin of the page that made it, and another protocol.
  const isOurs = url.origin === new URL(page).origin && url.protocol === new URL(page).protocol;
  if (!isOurs && url.protocol !== "https:") return null;
  return url.username === "" && url.password === "" ? url.href : null;
}
