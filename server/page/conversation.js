// A conversation: a tree of messages, of which one path is shown. To retry an answer, or to edit
// a message, adds a sibling to it; nothing that was said is lost.

export const FORMAT = "vatra-chats";
const MOST_TITLE = 60; // characters of a title made from the first message
const ROLES = new Set(["user", "assistant"]);

/** What may be set for a conversation: name in the API, label, bounds and step, what it does. */
export const SAMPLING = [
  { name: "temperature", label: "Temperature", min: 0, max: 2, step: 0.05, middle: 0.7, hint: "Higher is more varied, 0 always takes the likeliest." },
  { name: "top_p", label: "Top-p", min: 0, max: 1, step: 0.01, middle: 0.95, hint: "Keeps the likeliest tokens that together have this probability." },
  { name: "min_p", label: "Min-p", min: 0, max: 1, step: 0.01, middle: 0.05, hint: "Drops tokens less likely than this share of the likeliest." },
  { name: "repeat_penalty", label: "Repeat penalty", min: 0.5, max: 2, step: 0.01, middle: 1.1, hint: "Above 1 holds back what was just said." },
  { name: "top_k", label: "Top-k", min: 0, max: 1_000_000, step: 1, whole: true, hint: "Keeps so many tokens; 0 keeps all." },
  { name: "max_tokens", label: "Most tokens", min: 1, max: 10_000_000, step: 1, whole: true, hint: "Where an answer is cut." },
  { name: "seed", label: "Seed", min: 0, max: 4_294_967_295, step: 1, whole: true, hint: "The same seed gives the same answer again." },
];

export const newId = () =>
  Array.from(crypto.getRandomValues(new Uint32Array(3)), (n) => n.toString(36)).join("");

const text = (value, otherwise = "") => (typeof value === "string" ? value : otherwise);
const number = (value) => (typeof value === "number" && Number.isFinite(value) ? value : null);
const record = (value) => (value && typeof value === "object" && !Array.isArray(value) ? value : {});
const list = (value) => (Array.isArray(value) ? value : []);

/** Settings that are in bounds, from anything. */
export function readSampling(value) {
  const read = {};
  for (const { name, min, max, whole } of SAMPLING) {
    const given = number(record(value)[name]);
    if (given !== null && given >= min && given <= max && (!whole || Number.isInteger(given))) {
      read[name] = given;
    }
  }
  return read;
}

function readMessage(value) {
  const given = record(value);
  if (!ROLES.has(given.role) || !text(given.id)) return null;
  const error = given.error ? record(given.error) : null;
  const stats = given.stats ? record(given.stats) : null;
  return {
    id: given.id,
    parent: text(given.parent),
    role: given.role,
    content: text(given.content),
    reasoning: text(given.reasoning),
    thinking_s: number(given.thinking_s),
    tool_calls: list(given.tool_calls).map((call) => ({
      name: text(record(call).name), arguments: text(record(call).arguments),
    })),
    files: list(given.files).map((file) => ({ name: text(record(file).name, "file"), text: text(record(file).text) })),
    model: text(given.model),
    created: number(given.created) ?? Date.now(),
    end: text(given.end), // "stop", "length", "stopped", "error"; empty while it is written
    error: error && { kind: text(error.kind, "other"), message: text(error.message) },
    stats: stats && {
      prompt_tokens: number(stats.prompt_tokens) ?? 0,
      reused_tokens: number(stats.reused_tokens) ?? 0,
      generated_tokens: number(stats.generated_tokens) ?? 0,
      prompt_s: number(stats.prompt_s),
      generated_s: number(stats.generated_s),
      waited_s: number(stats.waited_s),
      seed: number(stats.seed),
    },
  };
}

export class Conversation {
  /** Read one that this page, or another, wrote down; what it lacks is filled in, raises TypeError. */
  constructor(value = {}) {
    const given = record(value);
    this.id = text(given.id) || newId();
    this.title = text(given.title).slice(0, 200);
    this.renamed = given.renamed === true;
    this.created = number(given.created) ?? Date.now();
    this.changed = number(given.changed) ?? this.created;
    this.model = text(given.model);
    this.system = text(given.system);
    this.schema = text(given.schema);
    this.thinking = ["on", "off"].includes(given.thinking) ? given.thinking : "";
    this.sampling = readSampling(given.sampling);
    this.messages = new Map();
    for (const message of list(given.messages).map(readMessage)) {
      // A parent comes before its children, so that no path can run in a circle.
      if (!message || this.messages.has(message.id)) continue;
      if (message.parent && !this.messages.has(message.parent)) continue;
      this.messages.set(message.id, message);
    }
    this.chosen = new Map(); // from a message to its child that is shown; "" to the first
    for (const entry of list(given.chosen)) {
      const [parent, child] = list(entry);
      if (this.messages.get(child)?.parent === parent) this.chosen.set(parent, child);
    }
  }

  /** What is kept, and read back by the constructor. */
  toJSON() {
    const { id, title, renamed, created, changed, model, system, schema, thinking, sampling } = this;
    return {
      id, title, renamed, created, changed, model, system, schema, thinking, sampling,
      messages: [...this.messages.values()], chosen: [...this.chosen],
    };
  }

  get empty() {
    return this.messages.size === 0;
  }

  children(parent) {
    return [...this.messages.values()].filter((message) => message.parent === parent);
  }

  /** The messages that are shown, first to last. */
  path() {
    const children = Map.groupBy
      ? Map.groupBy(this.messages.values(), (message) => message.parent)
      : { get: (parent) => this.children(parent) };
    const path = [];
    for (let at = ""; ; at = path.at(-1).id) {
      const here = children.get(at);
      if (!here?.length) return path;
      path.push(here.find((message) => message.id === this.chosen.get(at)) ?? here.at(-1));
    }
  }

  /** The path up to a message, without it. */
  before(message) {
    const path = [];
    for (let at = this.messages.get(message.parent); at; at = this.messages.get(at.parent)) {
      path.unshift(at);
    }
    return path;
  }

  /** All that could stand in a message's place. */
  versions(message) {
    return this.children(message.parent);
  }

  choose(message) {
    this.chosen.set(message.parent, message.id);
  }

  add(parent, role, fields = {}) {
    const message = readMessage({ id: newId(), parent: parent?.id ?? "", role, ...fields });
    this.messages.set(message.id, message);
    this.choose(message);
    this.changed = Date.now();
    if (role === "user" && !this.renamed && !parent) {
      const line = (message.content || message.files[0]?.name || "").trim().replace(/\s+/g, " ");
      this.title = line.length > MOST_TITLE ? `${line.slice(0, MOST_TITLE - 1)}…` : line;
    }
    return message;
  }

  /** Remove a message that has no children. */
  remove(message) {
    this.messages.delete(message.id);
    if (this.chosen.get(message.parent) === message.id) this.chosen.delete(message.parent);
  }

  /** The messages that the server is asked to answer: what leads to `answer`. */
  prompt(answer) {
    const messages = this.system.trim() ? [{ role: "system", content: this.system }] : [];
    for (const message of this.before(answer)) {
      const { role } = message;
      const content = role === "user" ? withFiles(message) : message.content;
      if (!content) continue;
      // What was not answered is read with what was said next: many templates want turns to change.
      if (messages.at(-1)?.role === role) messages.at(-1).content += `\n\n${content}`;
      else messages.push({ role, content });
    }
    return messages;
  }

  /** A line around where `words` are found in it, the title if there; null if nowhere. */
  search(words) {
    const wanted = words.toLowerCase();
    if (this.title.toLowerCase().includes(wanted)) return "";
    for (const { content } of this.messages.values()) {
      const at = content.toLowerCase().indexOf(wanted);
      if (at >= 0) return `…${content.slice(Math.max(0, at - 20), at + 60).replace(/\s+/g, " ")}…`;
    }
    return null;
  }

  /** The path that is shown, as Markdown. */
  markdown() {
    const parts = [`# ${this.title || "Chat"}`];
    if (this.system.trim()) parts.push("## System", this.system);
    for (const message of this.path()) {
      parts.push(message.role === "user" ? "## You" : `## ${message.model || "Assistant"}`);
      parts.push(message.role === "user" ? withFiles(message) : message.content);
    }
    return `${parts.join("\n\n")}\n`;
  }
}

/** A message's text after the files that go with it, each in a fence that it cannot close. */
function withFiles({ content, files }) {
  const parts = files.map((file) => {
    const longest = Math.max(2, ...(file.text.match(/`+/g) ?? []).map((run) => run.length));
    const fence = "`".repeat(longest + 1);
    return `File ${file.name}:\n${fence}\n${file.text.replace(/\n$/, "")}\n${fence}`;
  });
  return [...parts, content].filter(Boolean).join("\n\n");
}

/** Conversations of an exported file; raises SyntaxError or TypeError for what is none. */
export function readExport(source) {
  const given = JSON.parse(source);
  if (record(given).format !== FORMAT || !Array.isArray(given.chats)) {
    throw new TypeError("it is not a file of exported chats");
  }
  return given.chats.map((chat) => new Conversation(chat));
}

export const writeExport = (conversations) =>
  JSON.stringify({ format: FORMAT, version: 1, chats: conversations }, null, 1);
