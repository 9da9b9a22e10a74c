// How one message is shown.

import { copy, element, icon, iconButton } from "./dom.js";
import { Markdown, codeBlock } from "./markdown.js";

const seconds = (s) => (s < 0.95 ? "a moment" : s < 9.95 ? `${s.toFixed(1)} s` : `${Math.round(s)} s`);
const sentence = (text) => text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
const count = (n) => n.toLocaleString();

const ENDS = {
  "": "Not complete.",
  stopped: "Stopped.",
  length: "Cut where the settings, or the context, ended.",
};
const REMEDY = {
  gone: "Start it again; your chats are kept here meanwhile.",
  cut: "What had come until then is kept.",
  full: "Begin a new chat, or edit an earlier message to leave out what followed.",
};

/** A message and its buttons; `acts` are what they do: retry, edit, step. */
export class MessageView {
  constructor(message, acts) {
    this.message = message;
    this.acts = acts;
    this.user = message.role === "user";
    this.body = element("div", { class: this.user ? "bubble" : "prose" });
    this.actions = element("div", { class: "actions" });
    this.root = element(
      "article", { class: `message ${message.role}`, "data-id": message.id },
      element("h2", { class: "away" }, this.user ? "You" : message.model || "Assistant"),
    );
    if (this.user) {
      if (message.files.length) this.root.append(files(message.files));
      this.body.textContent = message.content;
      if (message.content) this.root.append(this.body);
    } else {
      this.markdown = new Markdown(this.body);
      this.thinking = element("details", { class: "thinking", hidden: true });
      this.summary = element("summary");
      this.thoughts = element("div", { class: "prose" });
      this.thoughtsShown = new Markdown(this.thoughts);
      this.thinking.append(this.summary, this.thoughts);
      this.thinking.addEventListener("toggle", () => this.#drawThoughts());
      this.calls = element("div", { class: "calls" });
      this.waiting = element(
        "div", { class: "waiting" },
        element("span", { class: "ember" }), element("span", { class: "ember" }),
        element("span", { class: "ember" }), element("span", { class: "doing" }),
      );
      this.problem = element("div", { class: "problem", hidden: true });
      this.foot = element("p", { class: "end", hidden: true });
      this.root.append(this.thinking, this.body, this.calls, this.waiting, this.problem, this.foot);
    }
    this.root.append(this.actions);
  }

  /** Draw what a message is now; `run` is how its writing goes, null if it is over. */
  draw(run = null) {
    if (this.user) return;
    const { message } = this;
    const over = run === null;
    this.over = over;
    this.root.setAttribute("aria-busy", String(!over));
    this.waiting.hidden = over || Boolean(message.content || message.reasoning || message.error);
    if (run) this.waiting.lastChild.textContent = run.doing;
    if (message.reasoning) {
      this.thinking.hidden = false;
      const label = message.thinking_s === null
        ? (over ? "Thought" : "Thinking…")
        : `Thought for ${seconds(message.thinking_s)}`;
      if (this.summary.textContent !== label) this.summary.textContent = label;
      this.thinking.classList.toggle("live", !over && message.thinking_s === null);
      this.#drawThoughts();
    }
    if (message.content) this.markdown.show(message.content, over);
    if (message.tool_calls.length) this.calls.replaceChildren(...message.tool_calls.map(call));
    const end = over && !message.error ? (ENDS[message.end] ?? "") : "";
    this.foot.hidden = !end;
    this.foot.textContent = end;
  }

  #drawThoughts() {
    // Folded thinking costs nothing: it is taken apart when somebody looks.
    if (this.thinking.open) this.thoughtsShown.show(this.message.reasoning, this.over);
  }

  /** Say what went wrong; `wait_s` counts down to the next try, null if there is none. */
  drawError(wait_s = null) {
    const { error } = this.message;
    this.problem.hidden = !error;
    if (!error) return;
    const again = wait_s === null ? "Try again" : `Try again (${wait_s} s)`;
    const button = this.problem.querySelector("button");
    if (button && this.problem.dataset.message === error.message) {
      button.textContent = again;
      return;
    }
    this.problem.dataset.message = error.message;
    const title = {
      gone: "The server is gone", cut: "The answer broke off", busy: "The server is busy",
      full: "This chat is longer than the model can read", key: "The server wants a key",
    }[error.kind] ?? "That did not work";
    this.problem.replaceChildren(
      element(
        "div", { role: "alert" },
        element("strong", {}, title),
        element("p", {}, [sentence(error.message), REMEDY[error.kind]].filter(Boolean).join(" ")),
      ),
      element("button", { type: "button", class: "filled", click: () => this.acts.retry(this.message) }, again),
    );
  }

  /** The buttons below, with versions one can step through. */
  drawActions(versions, over) {
    const { message } = this;
    const at = versions.indexOf(message);
    const buttons = [];
    if (versions.length > 1) {
      const noun = this.user ? "version" : "answer";
      buttons.push(element(
        "span", { class: "versions" },
        iconButton("left", `Previous ${noun}`, () => this.acts.step(message, -1), { disabled: at === 0 }),
        element("span", { "aria-label": `${noun} ${at + 1} of ${versions.length}` }, `${at + 1} / ${versions.length}`),
        iconButton("right", `Next ${noun}`, () => this.acts.step(message, 1), { disabled: at === versions.length - 1 }),
      ));
    }
    if (over) {
      if (message.content) {
        buttons.push(iconButton("copy", this.user ? "Copy message" : "Copy answer", (event) => {
          copied(event.currentTarget);
          copy(message.content);
        }));
      }
      if (this.user) buttons.push(iconButton("edit", "Edit message", () => this.edit()));
      else if (!message.error) buttons.push(iconButton("retry", "Answer again", () => this.acts.retry(message)));
    }
    if (!this.user) buttons.push(element("span", { class: "stats", title: details(message.stats) }, stats(message, over)));
    this.actions.replaceChildren(...buttons);
  }

  /** Show how fast it is being written, while it is. */
  drawSpeed(text) {
    const shown = this.actions.querySelector(".stats");
    if (shown) shown.textContent = text;
  }

  /** Put a box for another text in the message's place. */
  edit() {
    if (this.root.classList.contains("editing")) return;
    const area = element("textarea", { "aria-label": "Edit your message", rows: "1" });
    area.value = this.message.content;
    const leave = () => {
      form.remove();
      this.root.classList.remove("editing");
      this.actions.querySelector('[aria-label="Edit message"]')?.focus();
    };
    const send = (event) => {
      event.preventDefault();
      if (!area.value.trim() && !this.message.files.length) return;
      leave();
      this.acts.edit(this.message, area.value);
    };
    area.addEventListener("keydown", (event) => {
      if (event.isComposing) return;
      if (event.key === "Escape") {
        event.stopPropagation();
        leave();
      } else if (event.key === "Enter" && !event.shiftKey) send(event);
    });
    const form = element(
      "form", { class: "edit", submit: send }, area,
      element(
        "div", { class: "row" },
        element("button", { type: "button", class: "plain", click: leave }, "Cancel"),
        element("button", { class: "filled" }, "Send"),
      ),
    );
    this.root.classList.add("editing");
    this.root.insertBefore(form, this.actions);
    area.focus();
  }
}

/** Show for a moment that something was copied. */
export function copied(button) {
  const sign = button.querySelector(".icon");
  const label = button.querySelector("span");
  sign.replaceWith(icon("check"));
  if (label) label.textContent = "Copied";
  setTimeout(() => {
    button.querySelector(".icon")?.replaceWith(icon("copy"));
    if (label) label.textContent = "Copy";
  }, 1500);
}

function files(given) {
  return element("div", { class: "files" }, ...given.map((file) =>
    element(
      "details", { class: "file" },
      element("summary", {}, icon("file"), file.name),
      element("pre", { tabindex: "0" }, file.text),
    )));
}

/** A tool call as a card: its name, and its arguments one per line. */
function call({ name, arguments: written }) {
  let given = null;
  try {
    given = JSON.parse(written || "{}");
  } catch {
    // Still being written, or no JSON: shown as it is.
  }
  const plain = given && typeof given === "object" && !Array.isArray(given);
  const rows = plain ? Object.entries(given).flatMap(([key, value]) => [
    element("dt", {}, key),
    element("dd", {}, typeof value === "string" ? value : JSON.stringify(value, null, 1)),
  ]) : [];
  return element(
    "div", { class: "call" },
    element("div", { class: "call-head" }, icon("tool"), element("span", {}, "Calls "), element("code", {}, name || "…")),
    plain ? element("dl", {}, ...rows) : codeBlock(written, "json"),
  );
}

function stats({ stats: given }, over) {
  if (!over || !given) return "";
  const parts = [];
  if (given.generated_s > 0) {
    parts.push(`${(given.generated_tokens / given.generated_s).toFixed(1)} tokens/s`);
  }
  parts.push(`${count(given.generated_tokens)} tokens`);
  return parts.join(" · ");
}

function details(given) {
  if (!given) return null;
  const lines = [];
  const read = given.prompt_tokens - given.reused_tokens;
  const reused = given.reused_tokens ? `, ${count(given.reused_tokens)} were still in memory` : "";
  lines.push(`Read ${count(read)} tokens${given.prompt_s > 0 ? ` in ${seconds(given.prompt_s)}` : ""}${reused}`);
  lines.push(`Wrote ${count(given.generated_tokens)} tokens${given.generated_s > 0 ? ` in ${seconds(given.generated_s)}` : ""}`);
  if (given.waited_s > 0.1) lines.push(`Waited ${seconds(given.waited_s)} for its turn`);
  if (given.seed !== null) lines.push(`Seed ${given.seed}`);
  return lines.join("\n");
}
