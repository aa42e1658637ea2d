// Keeps a scrolling box at its end while the content grows, unless the reader has scrolled up.

const NEAR = 32; // pixels from the end that still count as the end

export class StickToBottom {
  /** Whether the box is kept at its end. */
  active = true;
  #scrollTop = 0;
  #resizes;

  /**
   * @param {HTMLElement} box
   * @param {Element} content everything in the box
   * @param {() => void} [onchange]
   */
  constructor(box, content, onchange = () => {}) {
    this.box = box;
    this.onchange = onchange;
    box.addEventListener("scroll", () => this.#handleScroll(), { passive: true });
    this.#resizes = new ResizeObserver(() => this.#update());
    this.#resizes.observe(content);
    this.#resizes.observe(box);
  }

  /** Scroll to the end, and stay there. */
  activate() {
    this.active = true;
    this.#update();
  }

  /** Stop observing the box. */
  disconnect() {
    this.#resizes.disconnect();
  }

  /** The distance from the end, in pixels. */
  get distance() {
    return this.box.scrollHeight - this.box.clientHeight - this.box.scrollTop;
  }

  #update() {
    if (this.active) {
      this.box.scrollTop = this.box.scrollHeight;
      this.#scrollTop = this.box.scrollTop; // the browser limits it to what is possible
    }
    this.onchange();
  }

  /** Let go when the reader scrolls up, stick again at the end. */
  #handleScroll() {
    const { scrollTop } = this.box;
    if (this.distance <= NEAR) this.active = true;
    else if (scrollTop < this.#scrollTop) this.active = false;
    this.#scrollTop = scrollTop;
    this.onchange();
  }
}
