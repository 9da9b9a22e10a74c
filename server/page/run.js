// An answer being written: from the request to its last chunk, with waiting for a busy server.

import { ServerError, answer } from "./server.js";
import { requested } from "./settings.js";

const MOST_WAITS = 5; // tries while the server says that it is busy

const pause = (ms, signal, wake) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    const now = () => (clearTimeout(timer), resolve());
    signal.addEventListener("abort", now, { once: true });
    wake(now);
  });

export class Run {
  /** `drawn` is called after every change of `message`, which is a part of `chat`. */
  constructor(chat, message, model, drawn) {
    this.chat = chat;
    this.message = message;
    this.model = model;
    this.drawn = drawn;
    this.doing = model?.state && model.state !== "ready" ? "Loading the model" : "Reading";
    this.wait_s = null; // until the next try, while the server is busy
    this.pieces = 0;
    this.first_ms = 0;
    this.controller = new AbortController();
    this.wake = () => {};
  }

  stop() {
    this.controller.abort();
  }

  /** Tokens per second until now, by the pieces that came; 0 while that says nothing. */
  get speed() {
    const ms = performance.now() - this.first_ms;
    return this.pieces > 4 && ms > 500 ? ((this.pieces - 1) * 1000) / ms : 0;
  }

  /** Write until it is over; how it ended is in `message.end` and `message.error`. */
  async write() {
    const { message, controller } = this;
    for (let tries = 1; ; tries++) {
      try {
        await this.#once();
        message.end ||= "stop";
        return;
      } catch (error) {
        if (error.name === "AbortError" || controller.signal.aborted) {
          message.end = "stopped";
          message.error = null;
          return;
        }
        const { kind = "other", retry_s = null } = error;
        message.error = { kind, message: error.message };
        message.end = "error";
        if (!(error instanceof ServerError)) console.error(error);
        if (kind !== "busy" || retry_s === null || tries > MOST_WAITS || message.content) return;
        await this.#wait(retry_s);
        message.error = null;
        if (controller.signal.aborted) {
          message.end = "stopped";
          return;
        }
        message.end = "";
      } finally {
        this.#thought();
      }
    }
  }

  /** Try at once, instead of when the server said. */
  now() {
    this.wait_s = 0;
    this.wake();
  }

  async #wait(wait_s) {
    const { signal } = this.controller;
    for (this.wait_s = wait_s; this.wait_s > 0 && !signal.aborted; this.wait_s--) {
      this.drawn(this);
      await pause(1000, signal, (wake) => (this.wake = wake));
    }
    this.wait_s = null;
  }

  async #once() {
    const { chat, message } = this;
    let request;
    try {
      request = requested(chat);
    } catch {
      throw new ServerError("other", "The JSON schema in this chat's settings is not JSON.");
    }
    if (message.model) request.model = message.model;
    request.messages = chat.prompt(message);
    for await (const chunk of answer(request, this.controller.signal)) {
      this.#take(chunk);
      this.drawn(this);
    }
  }

  #take(chunk) {
    const { message } = this;
    const [choice] = chunk.choices ?? [];
    const { content, reasoning_content: reasoning, tool_calls: calls } = choice?.delta ?? {};
    if (content || reasoning || calls?.length) {
      this.first_ms ||= performance.now();
      this.pieces++;
    }
    if (typeof reasoning === "string" && reasoning) {
      this.thinking_ms ??= performance.now();
      message.reasoning += reasoning;
    }
    if (typeof content === "string" && content) {
      this.#thought();
      message.content += content;
    }
    for (const call of Array.isArray(calls) ? calls : []) {
      this.#thought();
      const at = Math.min(Number(call.index) || 0, message.tool_calls.length);
      const known = (message.tool_calls[at] ??= { name: "", arguments: "" });
      known.name += call.function?.name ?? "";
      known.arguments += call.function?.arguments ?? "";
    }
    if (choice?.finish_reason) message.end = choice.finish_reason === "length" ? "length" : "stop";
    if (chunk.usage) {
      const { usage, timings = {} } = chunk;
      message.stats = {
        prompt_tokens: usage.prompt_tokens ?? 0,
        reused_tokens: usage.prompt_tokens_details?.cached_tokens ?? 0,
        generated_tokens: usage.completion_tokens ?? 0,
        prompt_s: timings?.prompt_ms / 1000,
        generated_s: timings?.predicted_ms / 1000,
        waited_s: timings?.waited_ms / 1000,
        seed: timings?.seed ?? null,
      };
    }
  }

  /** Thinking is over, if there was any. */
  #thought() {
    if (this.thinking_ms && this.message.thinking_s === null) {
      this.message.thinking_s = (performance.now() - this.thinking_ms) / 1000;
    }
  }
}
