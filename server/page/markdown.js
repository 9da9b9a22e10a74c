// Markdown as elements, while it is still being written. What a model writes is taken apart by
// markdown-it into tokens, and each becomes an element made here: HTML stays the text that it is.

import "./markdown-it.js";
import { coloured } from "./code.js";
import { element, icon } from "./dom.js";

const SAFE = new Set(["http:", "https:", "mailto:"]);
const TAGS = {
  h1: "h3", h2: "h4", h3: "h5", h4: "h6", h5: "h6", h6: "h6", // below the page's own headings
  p: "p", ul: "ul", ol: "ol", li: "li", blockquote: "blockquote", table: "table", thead: "thead",
  tbody: "tbody", tr: "tr", th: "th", td: "td", em: "em", strong: "strong", s: "s",
};
const MOST = 400_000; // characters; a longer text is shown as it is
const BEGUN = 6; // characters that tell what a line begins: "- ", "12. ", "```"

const parser = globalThis.markdownit("commonmark", { html: false, linkify: true, breaks: true, maxNesting: 50 });
parser.enable(["table", "strikethrough", "linkify"]);
parser.disable("reference"); // a definition of a link's address would not be shown at all
parser.linkify.set({ fuzzyLink: false, fuzzyEmail: false, fuzzyIP: false });
parser.validateLink = (url) => address(url) !== null;
parser.inline.ruler.before("escape", "math", math);

/** The address that a link may lead to, or null: none that runs, none of this server. */
function address(url) {
  try {
    const parsed = new URL(url);
    return SAFE.has(parsed.protocol) ? parsed : null;
  } catch {
    return null;
  }
}

const MATH = /\\\([\s\S]+?\\\)|\\\[[\s\S]+?\\\]|\$\$[\s\S]+?\$\$|\$(?![\s$])[^$\n]*[^\s$\\]\$(?!\d)/y;

/** Formulas stay the text that they are: their backslashes, stars and underscores mean no Markdown. */
function math(state, silent) {
  const first = state.src[state.pos];
  if (first !== "$" && first !== "\\") return false;
  MATH.lastIndex = state.pos;
  const found = MATH.exec(state.src);
  if (!found) return false;
  if (!silent) state.push("math", "", 0).content = found[0];
  state.pos += found[0].length;
  return true;
}

/** A link with the place it leads to, unless its text is that already. */
function link(url) {
  const parsed = address(url);
  return element("a", {
    href: parsed.href, title: parsed.href, target: "_blank", rel: "noopener noreferrer",
  });
}

function showTarget(anchor) {
  const parsed = new URL(anchor.href);
  const text = anchor.textContent.trim().replace(/\/$/, "");
  const shown = parsed.protocol === "mailto:" ? parsed.pathname : parsed.host;
  const whole = decodeText(anchor.href).replace(/\/$/, "");
  if (text === whole || `mailto:${text}` === whole || text === shown) return;
  anchor.append(element("span", { class: "target" }, `(${shown})`));
}

function decodeText(url) {
  try {
    return decodeURI(url);
  } catch {
    return url;
  }
}

/** A block of code with its language and a button to copy it. */
export function codeBlock(code, language) {
  return element(
    "div", { class: "code" },
    element(
      "div", { class: "code-head" },
      element("span", {}, language || "text"),
      element(
        "button", { type: "button", class: "copy", "aria-label": "Copy the code" },
        icon("copy"), element("span", {}, "Copy"),
      ),
    ),
    element(
      "pre", { tabindex: "0", role: "region", "aria-label": `${language || "text"} code` },
      element("code", {}, ...coloured(code, language)),
    ),
  );
}

/** Append the elements of tokens to `root`. */
function build(tokens, root) {
  const open = [root];
  for (const token of tokens) {
    const parent = open.at(-1);
    if (token.type === "inline") build(token.children, parent);
    else if (token.type === "text" || token.type === "text_special") parent.append(token.content);
    else if (token.type === "code_inline") parent.append(element("code", {}, token.content));
    else if (token.type === "math") parent.append(element("span", { class: "math" }, token.content));
    else if (token.type === "softbreak" || token.type === "hardbreak") parent.append(element("br"));
    else if (token.type === "hr") parent.append(element("hr"));
    else if (token.type === "fence" || token.type === "code_block") {
      const language = token.info.trim().split(/\s+/)[0].slice(0, 30);
      parent.append(codeBlock(token.content.replace(/\n$/, ""), language));
    } else if (token.type === "image") {
      // Not loaded: to fetch it would tell its server what was talked about.
      const anchor = link(token.attrGet("src"));
      anchor.append(`image: ${token.content || "untitled"}`);
      showTarget(anchor);
      parent.append(anchor);
    } else if (token.hidden) continue;
    else if (token.nesting === -1) {
      const closed = open.pop();
      if (closed.localName === "a") showTarget(closed);
      if (token.type === "table_close") open.pop();
    } else if (token.type === "link_open") {
      const anchor = link(token.attrGet("href"));
      parent.append(anchor);
      open.push(anchor);
    } else if (Object.hasOwn(TAGS, token.tag)) {
      const made = element(TAGS[token.tag]);
      if (token.type === "ordered_list_open") made.start = Number(token.attrGet("start") ?? 1);
      const align = /text-align:(center|right)/.exec(token.attrGet("style") ?? "");
      if (align) made.className = align[1];
      if (token.type === "table_open") {
        const frame = element("div", { class: "table", tabindex: "0", role: "region", "aria-label": "Table" });
        parent.append(frame);
        open.push(frame);
        frame.append(made);
      } else parent.append(made);
      open.push(made);
    } else parent.append(token.content);
  }
}

/** Make `old` what `made` is, and leave alone all that already is: what is selected stays so. */
function morph(old, made) {
  let here = old.firstChild;
  for (const wanted of [...made.childNodes]) {
    if (!here) {
      old.append(wanted);
      continue;
    }
    const next = here.nextSibling;
    if (here.nodeType === Node.TEXT_NODE && wanted.nodeType === Node.TEXT_NODE) {
      if (wanted.data.startsWith(here.data)) {
        if (wanted.length > here.length) here.appendData(wanted.data.slice(here.length));
      } else here.data = wanted.data;
    } else if (
      here.nodeName === wanted.nodeName && here.className === wanted.className &&
      here.href === wanted.href && here.start === wanted.start && here.nodeName !== "svg"
    ) morph(here, wanted);
    else if (!here.isEqualNode(wanted)) here.replaceWith(wanted);
    here = next;
  }
  while (here) {
    const next = here.nextSibling;
    here.remove();
    here = next;
  }
}

/** Close what is open at the end of a text that goes on, so that it does not change its look twice. */
function closed(text) {
  const end = text.slice(text.lastIndexOf("\n\n") + 1);
  const outside = end.replace(/`[^`\n]*`/g, "");
  if (/```|~~~/.test(end)) return text;
  if (outside.includes("`")) return outside.endsWith("`") ? text : `${text}\``;
  const marks = outside.match(/\*\*/g)?.length ?? 0;
  if (marks % 2 === 0) return text;
  const trimmed = text.trimEnd();
  return trimmed.endsWith("*") ? trimmed.replace(/\*+$/, "") : `${trimmed}**`;
}

/** A text in `root` that grows: blocks that are complete are never touched again. */
export class Markdown {
  constructor(root) {
    this.root = root;
    this.settled = 0; // characters of the source whose elements are final
    this.last = []; // the nodes of what may still change
  }

  /** Show `source`, which begins with what was shown before; `done` if nothing will follow. */
  show(source, done) {
    if (source.length > MOST) {
      this.root.replaceChildren(element("pre", {}, source));
      return;
    }
    const tail = source.slice(this.settled);
    const begins = this.#lastBlock(tail, done);
    if (begins > 0) {
      this.#draw(tail.slice(0, begins));
      this.last = [];
      this.settled += begins;
    }
    const rest = tail.slice(begins);
    this.#draw(done ? rest : closed(rest));
  }

  /** Where the last block of a text begins, in characters; 0 if what is before it may change. */
  #lastBlock(tail, done) {
    if (done) return 0;
    let line = 0;
    for (const token of parser.parse(tail, {})) {
      if (token.level === 0 && token.map && token.nesting >= 0) line = token.map[0];
    }
    let begins = 0;
    for (; line > 0; line--) begins = tail.indexOf("\n", begins) + 1;
    const rest = tail.slice(begins);
    return rest.length > BEGUN || rest.includes("\n") ? begins : 0;
  }

  #draw(text) {
    const made = document.createDocumentFragment();
    build(parser.parse(text, {}), made);
    const nodes = [...made.childNodes];
    nodes.forEach((node, i) => {
      const old = this.last[i];
      if (!old) this.root.append(node);
      else if (old.nodeName === node.nodeName && old.className === node.className) {
        if (old.start !== node.start) old.start = node.start;
        morph(old, node);
        nodes[i] = old;
      } else old.replaceWith(node);
    });
    for (const old of this.last.slice(nodes.length)) old.remove();
    this.last = nodes;
  }
}
