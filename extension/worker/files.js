// @ts-check
// Files between the room and the page: what a question brings is fetched, what an answer made is shared.

/** @typedef {{name: string, type: string, base64: string}} Carried */
/** @typedef {{title: string, language: string, content: string, base64?: string, missing?: boolean}} Artifact text, or
 * bytes that the page offers to download; `missing`: it was there and could not be read */

export const MOST_BYTES = 20 * 2 ** 20;
const ENDINGS = {
  python: "py", javascript: "js", typescript: "ts", html: "html", css: "css", markdown: "md", json: "json", svg: "svg",
  jsx: "jsx", tsx: "tsx", bash: "sh", shell: "sh", sql: "sql", java: "java", rust: "rs", go: "go", c: "c", cpp: "cpp",
  mermaid: "mmd", latex: "tex", yaml: "yaml", xml: "xml",
};

/** A file's name from an artifact's title: one path segment, with an ending. @param {Artifact} artifact */
export function fileName({ title, language, base64 }) {
  const plain = title.replace(/[\\/\p{C}]+/gu, "-").trim().replace(/^\.+/, "").slice(0, 120) || "artifact";
  const ending = /** @type {Record<string, string>} */ (ENDINGS)[language.toLowerCase()] ?? "txt";
  return base64 !== undefined || /\.[a-z0-9]{1,5}$/i.test(plain) ? plain : `${plain}.${ending}`;
}

/** @param {ArrayBuffer} bytes */
export function toBase64(bytes) {
  let text = "";
  const all = new Uint8Array(bytes);
  for (let i = 0; i < all.length; i += 0x8000) text += String.fromCharCode(...all.subarray(i, i + 0x8000));
  return btoa(text);
}

/** @param {Artifact} artifact */
const bytesOf = ({ base64, content }) => (base64 === undefined
  ? new TextEncoder().encode(content) : Uint8Array.from(atob(base64), (c) => c.charCodeAt(0)));

/**
 * The files of a question, as the page can take them. Throws with a sentence when one cannot be had.
 * @param {{url: string, token: string}} hub @param {string} room @param {string[]} ids @returns {Promise<Carried[]>}
 */
export async function fetchFiles({ url, token }, room, ids) {
  const headers = { authorization: `Bearer ${token}` };
  let left = MOST_BYTES;
  const carried = [];
  for (const id of ids) {
    const place = `${url}/v1/rooms/${encodeURIComponent(room)}/files/${encodeURIComponent(id)}`;
    const about = await fetch(place, { headers });
    if (!about.ok) throw new Error(`The file ${id} of the question could not be read (${about.status}).`);
    const { name, size_bytes, media_type } = await about.json();
    left -= size_bytes;
    if (left < 0) throw new Error(`The question's files are larger than ${MOST_BYTES / 2 ** 20} MiB together.`);
    const content = await fetch(`${place}/content`, { headers });
    if (!content.ok) throw new Error(`The file ${name} of the question could not be read (${content.status}).`);
    carried.push({ name, type: media_type, base64: toBase64(await content.arrayBuffer()) });
  }
  return carried;
}

/**
 * Share what an answer made; null when the room does not take it, so that it stands in the text instead.
 * @param {{url: string, token: string}} hub @param {string} room @param {Artifact} artifact @param {string} key
 * @returns {Promise<{id: string, name: string} | null>}
 */
export async function shareArtifact({ url, token }, room, artifact, key) {
  const name = encodeURIComponent(fileName(artifact));
  const answer = await fetch(`${url}/v1/rooms/${encodeURIComponent(room)}/files?name=${name}`, {
    method: "POST", body: bytesOf(artifact),
    headers: { authorization: `Bearer ${token}`, "content-type": "application/octet-stream", "idempotency-key": key },
  });
  return answer.ok ? await answer.json() : null;
}
