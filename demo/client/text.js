// What is done to words of others before they stand among ours.

// Overrides, embeddings and isolates turn round what comes after them too, and make a name or a title read as another one.
// Plain marks of direction (U+200E, U+200F) stay: some languages need them.
export const TURNS = /[\u202a-\u202e\u2066-\u2069]/gu;

/** @param {string|null|undefined} text */
export const unturned = (text) => (text ?? "").replace(TURNS, "").trim();
