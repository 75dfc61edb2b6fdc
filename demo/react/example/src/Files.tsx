// Files: sent as soon as they are chosen and uploaded, and loaded down by links that hold for a while.

import { useRef, useState } from "react";
import { useConversation, useMessenger, type Attachment } from "messenger-react";
import { link, upload } from "messenger-react/files";

export function Attach({ id }: { id: string }) {
  const { client } = useMessenger();
  const { send, writable } = useConversation(id, ({ send, writable }) => ({ send, writable }));
  const field = useRef<HTMLInputElement>(null);
  const [told, tell] = useState("");
  const choose = async (files: File[]) => {
    try {
      const attachments: Attachment[] = [];
      for (const file of files)
        attachments.push(
          await upload(client, file, {
            onProgress: (sent, size) => tell(`${file.name}: ${Math.round((100 * sent) / Math.max(size, 1))} %`),
          }),
        );
      const isPictures = attachments.every(({ mime_type }) => mime_type.startsWith("image/"));
      send("", { message_type: isPictures ? "image" : "file", attachments });
      tell("");
    } catch (error) {
      tell((error as Error).message);
    }
  };
  return (
    <>
      <button
        type="button"
        className="attach"
        aria-label="Attach files"
        disabled={!writable}
        onClick={() => field.current!.click()}
      >
        +
      </button>
      <input
        ref={field}
        type="file"
        multiple
        hidden
        data-testid="attach-files"
        onChange={({ target }) => {
          if (target.files?.length) choose([...target.files].slice(0, 10));
          target.value = "";
        }}
      />
      <span role="status">{told}</span>
    </>
  );
}

export function FileButton({ file }: { file: Attachment }) {
  const { client } = useMessenger();
  const [isGone, setGone] = useState(false);
  const open = async () => {
    try {
      const { url } = await link(client, file);
      // Whoever it lies with says himself that it is to be saved.
      if (/^https?:/.test(url)) window.open(url, "_blank", "noopener,noreferrer");
    } catch {
      setGone(true);
    }
  };
  return (
    <button className="file" data-testid="file" disabled={isGone} onClick={open}>
      {file.name || "File"} {isGone && "(not there any more)"}
    </button>
  );
}
