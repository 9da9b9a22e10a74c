// Where a message is written: the box, the files that go with it, the button that sends or stops.

import { element, find, icon, iconButton, note } from "./dom.js";

const MOST_BYTES = 1_000_000; // of one file: far more than a model reads

const size = (bytes) => (bytes < 1000 ? `${bytes} B` : `${Math.round(bytes / 1000)} kB`);

export class Composer {
  /** `acts`: send(text, files), stop(), editLast(). */
  constructor(acts) {
    this.acts = acts;
    this.box = find("message");
    this.files = [];
    this.running = false;
    this.send = iconButton("send", "Send", () => this.#press(), { class: "sign send" });
    find("tools").prepend(iconButton("clip", "Attach text files", () => find("files").click()));
    find("tools").append(this.send);
    find("composer").addEventListener("submit", (event) => event.preventDefault());
    this.box.addEventListener("input", () => this.draw());
    this.box.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Enter" && !event.shiftKey) {
        event.preventDefault();
        if (!this.running) this.#press();
      } else if (event.key === "ArrowUp" && !this.box.value) {
        event.preventDefault();
        acts.editLast();
      }
    });
    this.box.addEventListener("paste", (event) => {
      if (!event.clipboardData.files.length) return;
      event.preventDefault();
      this.attach(event.clipboardData.files);
    });
    find("files").addEventListener("change", (event) => {
      this.attach(event.target.files).then(() => (event.target.value = ""));
    });
    this.#listenForDrops();
    this.draw();
  }

  #listenForDrops() {
    const drop = find("drop");
    let depth = 0; // of elements that the pointer entered and did not leave
    const show = (n) => drop.classList.toggle("over", (depth = Math.max(0, n)) > 0);
    const carries = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
    addEventListener("dragenter", (event) => carries(event) && show(depth + 1));
    addEventListener("dragleave", (event) => carries(event) && show(depth - 1));
    addEventListener("dragover", (event) => carries(event) && event.preventDefault());
    addEventListener("drop", (event) => {
      if (!carries(event)) return;
      event.preventDefault();
      show(0);
      this.attach(event.dataTransfer.files);
    });
  }

  /** Take the texts of files; what is no text is refused. */
  async attach(files) {
    for (const file of [...files]) {
      if (file.size > MOST_BYTES) {
        note(`${file.name} is larger than ${size(MOST_BYTES)}, and was not attached.`);
        continue;
      }
      try {
        const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
        if (text.includes("\0")) throw new TypeError("binary");
        this.files.push({ name: file.name, text });
      } catch {
        note(`${file.name} is not a text in UTF-8, and was not attached.`);
      }
    }
    this.draw();
    this.box.focus();
  }

  /** What is in the box, and take it back in its place. */
  get draft() {
    return { text: this.box.value, files: this.files };
  }

  set draft({ text = "", files = [] }) {
    this.box.value = text;
    this.files = files;
    this.draw();
  }

  #press() {
    if (this.running) {
      this.acts.stop();
      return;
    }
    const { text, files } = this.draft;
    if (!text.trim() && !files.length) return;
    this.draft = {};
    this.acts.send(text.trim(), files);
  }

  draw(running = this.running) {
    this.running = running;
    this.send.replaceChildren(icon(running ? "stop" : "send"));
    this.send.setAttribute("aria-label", running ? "Stop" : "Send");
    this.send.title = running ? "Stop (Esc)" : "Send (Enter)";
    this.send.classList.toggle("running", running);
    this.send.disabled = !running && !this.box.value.trim() && !this.files.length;
    const shown = this.files.map((file, i) =>
      element(
        "span", { class: "chip" }, icon("file"), file.name,
        element("small", {}, size(new Blob([file.text]).size)),
        iconButton("close", `Remove ${file.name}`, () => (this.files.splice(i, 1), this.draw(), this.box.focus())),
      ));
    find("attached").replaceChildren(...shown);
    find("attached").hidden = !shown.length;
    this.box.style.height = "auto";
    this.box.style.height = `${this.box.scrollHeight}px`;
  }
}
