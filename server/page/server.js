// What the page asks of the server that it came from, and how it can fail.

const KEY = "vatra.key"; // in this tab's storage, gone with the tab

/** A failure, told in a sentence; `kind` is what the page can do about it. */
export class ServerError extends Error {
  /** kind: gone, cut, busy, full, key, other; `retry_s`: when to ask again, if the server said. */
  constructor(kind, message, retry_s = null) {
    super(message);
    this.kind = kind;
    this.retry_s = retry_s;
  }
}

export function setKey(key) {
  sessionStorage.setItem(KEY, key);
}

function headers(more = {}) {
  const key = sessionStorage.getItem(KEY);
  return key ? { ...more, authorization: `Bearer ${key}` } : more;
}

const gone = () =>
  new ServerError("gone", `Nothing answers at ${location.host}. Is vatra serve still running?`);

const cut = () =>
  new ServerError("cut", "The connection broke before the answer was complete.");

/** The failure that an error of the API's shape tells of. */
function failure(error, status = 0, retry_s = null) {
  const { message, code } = error && typeof error === "object" ? error : {};
  const said = typeof message === "string" && message ? message : `The server answered ${status}.`;
  if (code === "context_length_exceeded") return new ServerError("full", said);
  if (status === 401 || code === "invalid_api_key") return new ServerError("key", said);
  if (status === 503 || status === 429 || code === "server_busy") return new ServerError("busy", said, retry_s);
  return new ServerError("other", said);
}

async function ask(path, options = {}) {
  let response;
  try {
    response = await fetch(path, { cache: "no-store", redirect: "error", ...options });
  } catch (error) {
    throw error.name === "AbortError" ? error : gone();
  }
  if (response.ok) return response;
  const wait = Number(response.headers.get("retry-after"));
  const body = await response.json().catch(() => null);
  throw failure(body?.error, response.status, wait > 0 ? Math.min(wait, 600) : null);
}

/** The models it has: a list of {id, n_ctx, state, ...}. */
export async function models() {
  const body = await (await ask("/v1/models", { headers: headers() })).json();
  const data = Array.isArray(body?.data) ? body.data : [];
  return data.filter((model) => typeof model?.id === "string");
}

/** True if it is there at all. */
export async function alive() {
  try {
    await fetch("/health", { cache: "no-store" });
    return true;
  } catch {
    return false;
  }
}

/** The chunks of an answer as they come; raises ServerError, AbortError if `signal` says so. */
export async function* answer(request, signal) {
  const response = await ask("/v1/chat/completions", {
    method: "POST",
    headers: headers({ "content-type": "application/json" }),
    body: JSON.stringify({ ...request, stream: true, stream_options: { include_usage: true } }),
    signal,
  });
  let ended = false; // by the server's own word
  for await (const data of events(response.body.getReader())) {
    if (data === "[DONE]") return;
    let chunk;
    try {
      chunk = JSON.parse(data);
    } catch {
      throw new ServerError("other", "The server sent something that is not an answer.");
    }
    if (chunk?.error) throw failure(chunk.error);
    ended ||= Boolean(chunk?.choices?.[0]?.finish_reason);
    yield chunk;
  }
  if (!ended) throw cut();
}

/** The data of server-sent events. */
async function* events(reader) {
  const decoder = new TextDecoder();
  let held = "";
  try {
    for (;;) {
      let part;
      try {
        part = await reader.read();
      } catch (error) {
        throw error.name === "AbortError" ? error : cut();
      }
      held += decoder.decode(part.value, { stream: !part.done });
      const lines = held.split(/\r\n|\n|\r/);
      held = part.done ? "" : lines.pop();
      for (const line of lines) {
        if (line.startsWith("data:")) yield line.slice(5).trimStart();
      }
      if (part.done) return;
    }
  } finally {
    reader.cancel().catch(() => {}); // a slot that nobody listens to becomes free
  }
}
