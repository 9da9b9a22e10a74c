// The panel of a conversation's settings; what is empty is left to what the model recommends.

import { SAMPLING } from "./conversation.js";
import { element, find } from "./dom.js";

/** Whether anything differs from what the model recommends. */
export const isSet = (chat) =>
  Boolean(
    Object.keys(chat.sampling).length || chat.system.trim() || chat.schema.trim() || chat.thinking,
  );

/** What the settings add to a request; raises SyntaxError if the schema is no JSON. */
export function requested(chat) {
  const request = { ...chat.sampling };
  if (chat.thinking) request.chat_template_kwargs = { enable_thinking: chat.thinking === "on" };
  if (chat.schema.trim()) {
    request.response_format = {
      type: "json_schema",
      json_schema: { name: "answer", schema: JSON.parse(chat.schema) },
    };
  }
  return request;
}

export class Settings {
  /** `changed` is called after every change of the conversation it shows. */
  constructor(changed) {
    this.dialog = find("settings");
    this.changed = changed;
    this.fields = SAMPLING.map((field) => this.#field(field));
    find("sampling").append(...this.fields.map((field) => field.root));
    this.system = find("system");
    this.schema = find("schema");
    this.thinking = find("thinking");
    this.thinking.addEventListener("change", () => {
      this.chat.thinking = this.thinking.value;
      changed();
    });
    this.system.addEventListener("input", () => {
      this.chat.system = this.system.value;
      changed();
    });
    this.schema.addEventListener("input", () => {
      this.chat.schema = this.schema.value;
      this.#checkSchema();
      changed();
    });
    find("reset").addEventListener("click", () => {
      this.chat.sampling = {};
      this.chat.schema = "";
      this.chat.thinking = "";
      this.#draw();
      changed();
    });
  }

  /** Show the settings of a conversation, beside what its model recommends where that is known. */
  open(chat, recommended = {}) {
    this.chat = chat;
    this.recommended = recommended;
    this.#draw();
    this.dialog.showModal();
  }

  #field(field) {
    const { name, label, min, max, step, whole, hint } = field;
    const id = `set-${name}`;
    const box = element("input", {
      id, type: "number", min, max, step: whole ? 1 : "any", placeholder: "model's", "aria-describedby": `${id}-hint`,
      inputmode: whole ? "numeric" : "decimal",
    });
    const slider = whole ? null : element("input", { type: "range", min, max, step, "aria-label": `${label}, slider` });
    const set = (value) => {
      if (value === null) delete this.chat.sampling[name];
      else this.chat.sampling[name] = value;
      this.changed();
    };
    box.addEventListener("input", () => {
      const value = box.valueAsNumber;
      const fits = box.validity.valid && !Number.isNaN(value);
      box.setAttribute("aria-invalid", String(!box.validity.valid));
      if (fits && slider) slider.value = String(value);
      if (fits || box.value === "") set(fits ? value : null);
      root.classList.toggle("set", name in this.chat.sampling);
    });
    slider?.addEventListener("input", () => {
      box.value = slider.value;
      box.removeAttribute("aria-invalid");
      set(slider.valueAsNumber);
      root.classList.add("set");
    });
    const root = element(
      "div", { class: whole ? "field whole" : "field" },
      element("label", { for: id }, label), box, slider,
      element("p", { id: `${id}-hint`, class: "hint" }, hint),
    );
    const draw = () => {
      const value = this.chat.sampling[name];
      const usual = this.recommended[name];
      box.value = value ?? "";
      box.placeholder = typeof usual === "number" ? String(usual) : "model's";
      box.removeAttribute("aria-invalid");
      if (slider) slider.value = String(value ?? usual ?? field.middle);
      root.classList.toggle("set", value !== undefined);
    };
    return { root, draw };
  }

  #draw() {
    for (const field of this.fields) field.draw();
    this.system.value = this.chat.system;
    this.schema.value = this.chat.schema;
    this.thinking.value = this.chat.thinking;
    this.#checkSchema();
  }

  #checkSchema() {
    let problem = "";
    try {
      if (this.schema.value.trim()) JSON.parse(this.schema.value);
    } catch (error) {
      problem = error.message;
    }
    this.schema.setAttribute("aria-invalid", String(Boolean(problem)));
    find("schema-problem").textContent = problem;
  }
}
