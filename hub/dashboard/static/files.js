// Files on the live page: drop one to share it, click one to save it. Names and contents are never shown as HTML.
// @ts-check

/** @typedef {(path: string, init?: RequestInit) => Promise<Response>} Ask */
/** @typedef {{id: string, name: string, version: number, size_bytes: number, media_type: string}} Shared */

const IMAGES = ["image/png", "image/jpeg", "image/gif", "image/webp"];

/** @param {number} bytes */
const size = (bytes) => bytes < 1e4 ? `${bytes} bytes` : bytes < 1e6 ? `${Math.round(bytes / 1e3)} kB` : `${(bytes / 1e6).toFixed(1)} MB`;

/** @param {Response} answer */
async function good(answer) {
  if (!answer.ok) throw new Error((await answer.json()).detail ?? answer.statusText);
  return answer;
}

/**
 * Share what is dropped on `place`, or chosen with `picker`.
 * @param {HTMLElement} place
 * @param {HTMLInputElement} picker
 * @param {Ask} ask
 * @param {() => string | null} room
 * @param {(text: string) => void} say
 */
export function acceptFiles(place, picker, ask, room, say) {
  /** @param {Iterable<File>} files */
  const share = async (files) => {
    const to = room();
    if (!to) return;
    for (const file of files) {
      say(`Sharing ${file.name}…`);
      try {
        const query = new URLSearchParams({ name: file.name, text: `Shared ${file.name}` });
        await good(await ask(`/v1/rooms/${to}/files?${query}`, { method: "POST", body: file }));
        say(`Shared ${file.name}`);
      } catch (error) { say(error instanceof Error ? error.message : String(error)); }
    }
  };
  place.ondragover = (event) => { event.preventDefault(); place.classList.add("drop"); };
  place.ondragleave = () => place.classList.remove("drop");
  place.ondrop = (event) => {
    event.preventDefault();
    place.classList.remove("drop");
    share(event.dataTransfer?.files ?? []);
  };
  picker.onchange = async () => {
    await share([...(picker.files ?? [])]);
    picker.value = "";
  };
}

/**
 * The attachments of a message: name, size, a small picture; a click saves the file.
 * @param {string} room
 * @param {string[]} attachments
 * @param {Ask} ask
 * @param {(text: string) => void} say
 */
export function attachmentList(room, attachments, ask, say) {
  const list = document.createElement("ul");
  list.className = "files";
  for (const id of attachments) {
    const li = document.createElement("li");
    const button = Object.assign(document.createElement("button"), { type: "button", textContent: id });
    li.append(button);
    list.append(li);
    describe(room, id, button, ask, say);
  }
  return list;
}

/** @param {string} room @param {string} id @param {HTMLButtonElement} button @param {Ask} ask @param {(text: string) => void} say */
async function describe(room, id, button, ask, say) {
  const path = `/v1/rooms/${room}/files/${id}`;
  try {
    const file = /** @type {Shared} */ (await (await good(await ask(path))).json());
    button.textContent = `${file.name} (${size(file.size_bytes)})`;
    button.onclick = () => save(path, file, ask).catch((error) => say(String(error.message ?? error)));
    if (IMAGES.includes(file.media_type)) {
      const answer = await ask(`${path}/thumbnail`);
      if (answer.ok) button.prepend(await picture(await answer.blob(), file.name));
    }
  } catch {
    button.textContent = `${id} (gone)`;
    button.disabled = true;
  }
}

/** @param {Blob} blob @param {string} name @returns {Promise<HTMLImageElement>} */
const picture = (blob, name) => new Promise((done, failed) => {
  const reader = new FileReader();
  reader.onerror = () => failed(reader.error);
  reader.onload = () => done(Object.assign(new Image(), { src: String(reader.result), alt: name }));
  reader.readAsDataURL(blob);
});

/** @param {string} path @param {Shared} file @param {Ask} ask */
async function save(path, file, ask) {
  const url = URL.createObjectURL(await (await good(await ask(`${path}/content`))).blob());
  Object.assign(document.createElement("a"), { href: url, download: file.name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
