// Small tools for building the page: elements, numbers in words and signs, moving things by pointer or key.

const gdxUi = (() => {
  const SVG = "http://www.w3.org/2000/svg";

  /** @param {Element} element @param {Record<string, any>} attributes @param {any[]} children */
  function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes)) {
      if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
      else if (value !== undefined && value !== false) element.setAttribute(name, value === true ? "" : String(value));
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
  }

  /**
   * @template {keyof HTMLElementTagNameMap} T
   * @param {T} tag @param {Record<string, any>} [attributes] @param {...(Node | string | null)} children
   * @returns {HTMLElementTagNameMap[T]}
   */
  const h = (tag, attributes = {}, ...children) =>
    /** @type {any} */ (fill(document.createElement(tag), attributes, children));

  /**
   * @template {keyof SVGElementTagNameMap} T
   * @param {T} tag @param {Record<string, any>} [attributes] @param {...(Node | string)} children
   * @returns {SVGElementTagNameMap[T]}
   */
  const s = (tag, attributes = {}, ...children) =>
    /** @type {any} */ (fill(document.createElementNS(SVG, tag), attributes, children));

  /** @param {Element} element @param {Record<string, string | number>} attributes */
  function set(element, attributes) {
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  }

  /** @param {number} exponent */
  const raised = (exponent) => String(exponent).replace(/[-\d]/g, (c) => (c === "-" ? "⁻" : "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(c)]));

  /** @param {number} value @param {number} [digits] @returns {string} the number for reading, with a true minus sign */
  function show(value, digits = 4) {
    if (value === 0) return "0";
    if (!Number.isFinite(value)) return "no number";
    const size = Math.abs(value);
    if (size >= 1e5 || size < 1e-3) {
      const [mantissa, exponent] = value.toExponential(Math.max(digits - 2, 0)).split("e");
      return `${String(Number(mantissa)).replace("-", "−")}×10${raised(Number(exponent))}`;
    }
    return String(Number(value.toPrecision(digits + (size >= 1000 ? 1 : 0)))).replace("-", "−");
  }

  /** @param {number} value @returns {string} in brackets if negative, as in a product */
  const term = (value, digits = 4) => (value < 0 ? `(${show(value, digits)})` : show(value, digits));

  /** @param {number} low @param {number} high @param {number} about @returns {number[]} round numbers in between */
  function ticks(low, high, about) {
    const rough = (high - low) / about;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= rough) || 10 * power;
    const found = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k++) found.push(Number((k * step).toPrecision(12)));
    return found;
  }

  /**
   * Lets a shape be dragged, and moved by the arrow keys (ten times as far with Shift).
   * @param {SVGElement} shape
   * @param {{at: (event: PointerEvent) => Pair, now: () => Pair, move: (to: Pair) => void, unit: () => Pair,
   *   done?: () => void, grab?: () => void}} how
   */
  function movable(shape, how) {
    let held = false;
    /** @type {Pair} */
    let offset = [0, 0];
    shape.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      held = true;
      const [x, y] = how.at(event);
      const now = how.now();
      offset = [now[0] - x, now[1] - y];
      shape.setPointerCapture(event.pointerId);
      how.grab?.();
    });
    shape.addEventListener("pointermove", (event) => {
      if (!held) return;
      const [x, y] = how.at(event);
      how.move([x + offset[0], y + offset[1]]);
    });
    const release = () => {
      if (held) how.done?.();
      held = false;
    };
    shape.addEventListener("pointerup", release);
    shape.addEventListener("pointercancel", release);
    shape.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
      if (!way || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      const far = event.shiftKey ? 10 : 1;
      const [x, y] = how.now();
      const [ux, uy] = how.unit();
      /** @param {number} v */
      const tidy = (v) => Number(v.toPrecision(10));
      how.move([tidy(x + way[0] * far * ux), tidy(y + way[1] * far * uy)]);
      how.done?.();
    });
  }

  /** @param {string} text @returns {Promise<boolean>} whether the browser let us */
  async function copy(text) {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return false;
    }
  }

  const calm = () => matchMedia("(prefers-reduced-motion: reduce)").matches;

  /** @param {Iterable<number[]>} pairs mine and theirs @returns {number} the largest difference, relative beyond 1; NaN stays */
  function apart(pairs) {
    let largest = 0;
    for (const [mine, theirs] of pairs) {
      const one = Math.abs(mine - theirs) / Math.max(1, Math.abs(theirs));
      largest = one <= largest ? largest : one;
    }
    return largest;
  }

  /** @param {HTMLElement} badge @param {boolean} fine @param {string} text */
  function judge(badge, fine, text) {
    badge.classList.toggle("gdx-wrong", !fine);
    badge.textContent = `${fine ? "✓" : "✗ Not:"} ${text}`;
  }

  /** @param {number} value @param {number} places */
  const round = (value, places) => Number(value.toFixed(places));

  /** @param {string} text @param {() => void} onclick @param {Record<string, any>} [more] */
  const button = (text, onclick, more = {}) => h("button", { type: "button", onclick, ...more }, text);

  let count = 0;
  /** @returns {string} an id that no other element of the page has */
  const fresh = () => `gdx-${++count}`;

  /** What the build measured with Keras; null on a page that carries none. @type {() => any} */
  const payload = () => {
    const found = document.getElementById("gdx-payload");
    return found ? JSON.parse(found.textContent || "null") : null;
  };

  return Object.freeze({ h, s, set, show, term, raised, ticks, movable, copy, calm, apart, judge, round, button, fresh, payload });
})();
