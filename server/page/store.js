// Where conversations are kept: this browser's database, or only memory where it has none.

import { Conversation } from "./conversation.js";

const finished = (request) =>
  new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });

export class Store {
  /** Open the database. `changed(id)` is called when another window wrote or deleted one. */
  static async open(changed) {
    const store = new Store();
    try {
      const request = indexedDB.open("vatra", 1);
      request.onupgradeneeded = () => request.result.createObjectStore("chats", { keyPath: "id" });
      store.database = await finished(request);
    } catch {
      store.database = null;
    }
    store.channel = new BroadcastChannel("vatra.chats");
    store.channel.onmessage = (event) => changed(event.data);
    return store;
  }

  /** Whether what is kept outlives this window. */
  get lasting() {
    return this.database !== null;
  }

  #chats(mode) {
    return this.database.transaction("chats", mode).objectStore("chats");
  }

  async all() {
    if (!this.database) return [];
    return (await finished(this.#chats("readonly").getAll())).map((chat) => new Conversation(chat));
  }

  async get(id) {
    const chat = this.database && (await finished(this.#chats("readonly").get(id)));
    return chat ? new Conversation(chat) : null;
  }

  /** Write a conversation down; raises DOMException where there is no room for it. */
  async put(conversation) {
    if (!this.database) return;
    await finished(this.#chats("readwrite").put(conversation.toJSON()));
    this.channel.postMessage(conversation.id);
  }

  async delete(id) {
    if (!this.database) return;
    await finished(this.#chats("readwrite").delete(id));
    this.channel.postMessage(id);
  }
}
