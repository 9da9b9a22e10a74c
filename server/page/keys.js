// What the keys do wherever the focus is, and the list that tells of them.

import { element, find } from "./dom.js";

const KEYS = [
  { keys: ["Enter"], does: "Send" },
  { keys: ["Shift", "Enter"], does: "New line" },
  { keys: ["Esc"], does: "Stop the answer, or close what is open" },
  { keys: ["↑"], does: "Edit your last message, where the box is empty" },
  { keys: ["Alt", "N"], code: "KeyN", act: "begin", does: "New chat" },
  { keys: ["Alt", "K"], code: "KeyK", act: "search", does: "Search chats" },
  { keys: ["Alt", "↑"], code: "ArrowUp", act: "newer", does: "Next newer chat" },
  { keys: ["Alt", "↓"], code: "ArrowDown", act: "older", does: "Next older chat" },
  { keys: ["Alt", "B"], code: "KeyB", act: "sidebar", does: "Show or hide the list of chats" },
  { keys: ["Alt", "S"], code: "KeyS", act: "settings", does: "Settings of this chat" },
  { keys: ["Alt", "R"], code: "KeyR", act: "retry", does: "Answer again" },
  { keys: ["Alt", "C"], code: "KeyC", act: "copy", does: "Copy the last answer" },
  { keys: ["Alt", "M"], code: "KeyM", act: "write", does: "Write a message" },
  { keys: ["?"], does: "Show these keys" },
];

export const openKeys = () => find("shortcuts").showModal();

/** Listen for keys; `acts` has what they do by the names above, and `escape(target)`. */
export function listenForKeys(acts) {
  find("shortcut-list").append(...KEYS.flatMap(({ keys, does }) => [
    element("dt", {}, ...keys.map((key) => element("kbd", {}, key))),
    element("dd", {}, does),
  ]));
  addEventListener("keydown", (event) => {
    if (event.defaultPrevented || event.isComposing) return;
    if (document.querySelector("dialog[open], :popover-open")) return;
    const typing = event.target.matches?.("input, textarea, select");
    const row = KEYS.find(({ code }) => code && code === event.code);
    if (row && event.altKey && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
      event.preventDefault();
      acts[row.act]();
    } else if (event.key === "Escape") acts.escape(event.target);
    else if (event.key === "?" && !typing) {
      event.preventDefault();
      openKeys();
    }
  });
}
