// A box that scrolls, kept at its end while its content grows: as long as the reader is there, and not a pixel further otherwise.

const NEAR = 32; // pixels from the end that still count as being there

export class Follower {
  following = true;
  #top = 0;

  /** @param {HTMLElement} box @param {HTMLElement} content all that is in it @param {() => void} [onchange] */
  constructor(box, content, onchange = () => {}) {
    this.box = box;
    this.onchange = onchange;
    box.addEventListener("scroll", () => this.#scrolled(), { passive: true });
    this.resizes = new ResizeObserver(() => this.#grown());
    this.resizes.observe(content);
    this.resizes.observe(box);
  }

  /** Goes to the end, and stays there. */
  follow() {
    this.following = true;
    this.#grown();
  }

  stop() {
    this.resizes.disconnect();
  }

  /** In pixels. */
  get fromEnd() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #grown() {
    if (this.following) {
      this.box.scrollTop = this.box.scrollHeight;
      this.#top = this.box.scrollTop; // as far as it goes: where it is now, and not below
    }
    this.onchange();
  }

  /** Upwards it lets go; at the end it takes hold again. */
  #scrolled() {
    const { scrollTop } = this.box;
    if (this.fromEnd <= NEAR) this.following = true;
    else if (scrollTop < this.#top) this.following = false;
    this.#top = scrollTop;
    this.onchange();
  }
}
