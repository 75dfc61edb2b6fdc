// How large what hangs on a message is shown: known before any of it has come, so that nothing moves when it does. Pixels. Pure.

import { isUpload } from "./client/files.js";

/** @import { Attachment } from "./client/types.js" */

export const MOST_WIDE = 320;
const MOST_HIGH = 340;
// What is smaller, or very long, has to be seen and hit as well.
const LEAST_WIDE = 128;
const LEAST_HIGH = 96;
const GAP = 4;
const FILE_HIGH = 54;

/** Whether a file is shown as a picture: only an upload, of which the daemon knows that it is one. @param {Attachment} attachment */
export const isPicture = (attachment) =>
  isUpload(attachment) &&
  Boolean(attachment.mime_type?.startsWith("image/")) &&
  (attachment.width ?? 0) > 0 &&
  (attachment.height ?? 0) > 0;

/**
 * Of a picture that stands alone, in the room that there is: as it is, or smaller in the same shape.
 *
 * @param {{width: number, height: number}} picture
 * @param {number} [room]
 */
export function boxOf({ width, height }, room = MOST_WIDE) {
  const scale = Math.min(1, Math.min(MOST_WIDE, room) / width, MOST_HIGH / height);
  return {
    width: Math.max(LEAST_WIDE, Math.round(width * scale)),
    height: Math.max(LEAST_HIGH, Math.round(height * scale)),
  };
}

/** How high all of it will be together. @param {Attachment[]} attachments @param {number} room  How wide it may be. */
export function heightOf(attachments, room) {
  const pictures = attachments.filter(isPicture);
  const files = (attachments.length - pictures.length) * (FILE_HIGH + GAP);
  if (pictures.length === 0) return files;
  if (pictures.length === 1)
    return boxOf(/** @type {{width: number, height: number}} */ (pictures[0]), room).height + files;
  // Two in a row, square; of an odd number the first has a row for itself, half as high as wide.
  const tile = (Math.min(MOST_WIDE, room) - GAP) / 2;
  return Math.ceil(pictures.length / 2) * (tile + GAP) - GAP + files;
}
