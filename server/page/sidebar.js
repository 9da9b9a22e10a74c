// The list of chats: search, rename, delete, export.

import { element, find, icon } from "./dom.js";

const DAY = 86_400_000;

/** When a chat was last used, in words. */
function period(time) {
  const midnight = new Date().setHours(0, 0, 0, 0);
  if (time >= midnight) return "Today";
  if (time >= midnight - DAY) return "Yesterday";
  if (time >= midnight - 7 * DAY) return "The last seven days";
  return new Date(time).toLocaleDateString(undefined, { month: "long", year: "numeric" });
}

export class Sidebar {
  /** `acts`: open, rename, remove, exportMarkdown, exportJson, all of a conversation. */
  constructor(acts) {
    this.acts = acts;
    this.list = find("chats");
    this.menu = find("menu");
    this.words = "";
    find("search").addEventListener("input", (event) => {
      this.words = event.target.value.trim();
      this.draw(this.conversations, this.current);
    });
  }

  draw(conversations, current) {
    this.conversations = conversations;
    this.current = current;
    if (this.renaming) return;
    const focused = document.activeElement?.closest?.("#chats li")?.dataset.id;
    const rows = [];
    let last = "";
    for (const chat of conversations) {
      const found = this.words ? chat.search(this.words) : "";
      if (found === null) continue;
      const when = period(chat.changed);
      if (when !== last) rows.push(element("li", { class: "period", role: "presentation" }, (last = when)));
      rows.push(this.#row(chat, found));
    }
    if (!rows.length && this.words) rows.push(element("li", { class: "nothing" }, "Nothing found."));
    this.list.replaceChildren(...rows);
    if (focused) this.#find(focused)?.querySelector(".open").focus();
  }

  #find(id) {
    return [...this.list.children].find((row) => row.dataset.id === id);
  }

  #row(chat, found) {
    const title = chat.title || "New chat";
    return element(
      "li", { "data-id": chat.id, class: chat === this.current ? "chat current" : "chat" },
      element(
        "button",
        {
          type: "button", class: "open", title, click: () => this.acts.open(chat),
          dblclick: () => this.rename(chat), "aria-current": chat === this.current ? "page" : null,
        },
        element("span", { class: "title" }, title),
        found ? element("span", { class: "found" }, found) : null,
      ),
      element(
        "button",
        {
          type: "button", class: "sign more", "aria-label": `More for ${title}`, "aria-haspopup": "true",
          click: (event) => this.#openMenu(chat, event.currentTarget),
        },
        icon("more"),
      ),
    );
  }

  #openMenu(chat, button) {
    const item = (label, act, kind = "") =>
      element("button", { type: "button", class: kind, click: () => (this.menu.hidePopover(), act(chat)) }, label);
    this.menu.replaceChildren(
      item("Rename", (one) => this.rename(one)),
      item("Export as Markdown", this.acts.exportMarkdown),
      item("Export as JSON", this.acts.exportJson),
      item("Delete", this.acts.remove, "danger"),
    );
    this.menu.showPopover();
    const { right, bottom } = button.getBoundingClientRect();
    const { width, height } = this.menu.getBoundingClientRect();
    this.menu.style.left = `${Math.max(8, right - width)}px`;
    this.menu.style.top = `${Math.min(bottom + 4, innerHeight - height - 8)}px`;
    this.menu.firstChild.focus();
  }

  rename(chat) {
    const row = this.#find(chat.id);
    if (!row) return;
    const box = element("input", { class: "rename", "aria-label": "Name of this chat", maxlength: "200" });
    box.value = chat.title;
    this.renaming = true; // nothing is drawn over the box
    const finish = (keep) => {
      if (!this.renaming) return;
      this.renaming = false;
      if (keep && box.value.trim()) this.acts.rename(chat, box.value.trim());
      else this.draw(this.conversations, this.current);
      this.#find(chat.id)?.querySelector(".open").focus();
    };
    box.addEventListener("keydown", (event) => {
      if (event.isComposing || !["Enter", "Escape"].includes(event.key)) return;
      event.preventDefault();
      event.stopPropagation();
      finish(event.key === "Enter");
    });
    box.addEventListener("blur", () => finish(true));
    row.replaceChildren(box);
    box.focus();
    box.select();
  }
}
