// Drawing an answer that is being written: once a frame at most, and never most of the time.

const SAVE_MS = 1000; // between saves
const SHARE = 4; // drawing may take one part in so many of the time

export class Painter {
  /** `draw()` and `save()` are called from time to time, after one wish or more. */
  constructor(draw, save) {
    this.draw = draw;
    this.save = save;
    this.wished = false;
    this.over = false;
    this.saved_ms = performance.now();
    this.rest_ms = 0; // until when drawing leaves the page to the person
  }

  wish() {
    if (this.wished) return;
    this.wished = true;
    const wait = Math.max(0, this.rest_ms - performance.now());
    setTimeout(() => requestAnimationFrame(() => this.#paint()), wait);
  }

  /** Draw no more. */
  finish() {
    this.over = true;
  }

  #paint() {
    this.wished = false;
    if (this.over) return;
    const begun = performance.now();
    if (begun - this.saved_ms > SAVE_MS) {
      this.saved_ms = begun;
      this.save();
    }
    this.draw();
    this.rest_ms = performance.now() + (performance.now() - begun) * (SHARE - 1);
  }
}
