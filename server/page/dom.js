// Elements of the page. Text becomes text: nothing here, or anywhere, parses a string as HTML.

/** An element with attributes (`true` is an empty one, null none), handlers (functions), children. */
export function element(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  menu: "M4 7h16M4 12h16M4 17h16",
  sliders: "M4 8h9M17 8h3M4 16h3M11 16h9M15 5.8v4.4M9 13.8v4.4",
  search: "M10.8 17.6a6.8 6.8 0 1 0 0-13.6 6.8 6.8 0 0 0 0 13.6zM20 20l-4.3-4.3",
  send: "M12 19.5V5M5.5 11.5 12 5l6.5 6.5",
  stop: "M7 7h10v10H7z",
  clip: "M19.5 11.5l-7.6 7.6a4.6 4.6 0 0 1-6.5-6.5l8-8a3.1 3.1 0 0 1 4.4 4.4l-7.9 7.9a1.5 1.5 0 0 1-2.2-2.2l7-7",
  copy: "M9 9h10v11H9zM15 9V4.5H5V15.5h4",
  check: "M5 12.5l4.5 4.5L19 7.5",
  retry: "M19.5 12a7.5 7.5 0 1 1-2.3-5.4M19.5 3.5v4h-4",
  edit: "M5 19h3.5L19 8.5 15.5 5 5 15.5zM13.5 7l3.5 3.5",
  left: "M14.5 6l-6 6 6 6",
  right: "M9.5 6l6 6-6 6",
  down: "M12 5v14M5.5 12.5 12 19l6.5-6.5",
  close: "M6.5 6.5l11 11M17.5 6.5l-11 11",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  auto: "M12 4a8 8 0 1 0 0 16zM12 4a8 8 0 0 1 0 16",
  light: "M12 16a4 4 0 1 0 0-8 4 4 0 0 0 0 8zM12 3v1.5M12 19.5V21M3 12h1.5M19.5 12H21M5.6 5.6l1.1 1.1M17.3 17.3l1.1 1.1M5.6 18.4l1.1-1.1M17.3 6.7l1.1-1.1",
  dark: "M19.5 14.2A7.8 7.8 0 0 1 9.8 4.5a7.8 7.8 0 1 0 9.7 9.7z",
  file: "M7 3.5h7l4 4V20.5H7zM14 3.5v4h4",
  take: "M12 4v10.5M7.5 10 12 14.5l4.5-4.5M5 19h14",
  give: "M12 14.5V4M7.5 8.5 12 4l4.5 4.5M5 19h14",
  keys: "M3.5 7h17v10h-17zM7 10.2h.01M10.3 10.2h.01M13.7 10.2h.01M17 10.2h.01M8 13.8h8",
  tool: "M14.5 6.5a4 4 0 0 1 5-1.3l-2.8 2.8 1.3 1.3 2.8-2.8a4 4 0 0 1-5.3 5.3L9 18.3a1.9 1.9 0 0 1-2.7-2.7l6.5-6.5a4 4 0 0 1 1.7-2.6z",
};

/** A drawn sign of 24 units; it says nothing to a screen reader. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(space, "path");
  path.setAttribute("d", PATHS[name]);
  svg.append(path);
  return svg;
}

/** A button that is only a sign; `label` is its name for a screen reader and its tooltip. */
export function iconButton(name, label, click, attributes = {}) {
  return element(
    "button",
    { type: "button", class: "sign", "aria-label": label, title: label, click, ...attributes },
    icon(name),
  );
}

export const find = (id) => document.getElementById(id);

/** Tell a screen reader what happened, without moving the focus. */
export function say(text) {
  find("live").textContent = text;
}

/** A note at the page's foot for some seconds, with something to do about it if `action` is given. */
export function note(text, action = null, act = null) {
  const remove = () => toast.remove();
  const toast = element("div", { class: "toast" }, element("span", {}, text));
  if (action) {
    toast.append(
      element("button", { type: "button", class: "plain", click: () => (remove(), act()) }, action),
    );
  }
  find("toasts").replaceChildren(toast);
  setTimeout(remove, action ? 10_000 : 4_000);
}

/** Put text on the clipboard, also where a page may not use the new way. */
export async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    const area = element("textarea", { class: "away", "aria-hidden": "true", tabindex: "-1" });
    const before = document.activeElement;
    area.value = text;
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
    before?.focus();
  }
  say("Copied");
}

/** Hand a text to the person as a file. */
export function save(name, type, text) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
