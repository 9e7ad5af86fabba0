// <gdx-rule>: one update of a rule, slot by slot: the gradient, what the rule remembers, its correction, the step.
//
// For tests and pages that embed it: configure({opt, lr, beta, w, gradients}), goto(k), and `updates`, a list of
// {update, gradient, memory, correction, step, w} with one entry for each gradient.

/** @typedef {{title: string, sign: string, value: number, formula: string, numbers: string}} Slot */

class GdxRule extends HTMLElement {
  constructor() {
    super();
    this.opt = "adam";
    this.lr = 0.1;
    this.beta = 0.9;
    this.w = 1;
    this.gradients = [4];
    this.k = 0; // how many slots are filled, over all updates
    /** @type {Record<string, any>} */ this.ui = {};
    this.built = false;
  }

  connectedCallback() {
    if (this.built) return;
    this.built = true;
    const given = Object.fromEntries(new URLSearchParams(this.getAttribute("settings") || ""));
    const notes = this.take({ ...given, ...(given.gradients ? { gradients: given.gradients.split(",") } : {}) });
    this.build();
    this.note(notes);
    this.goto(0);
    this.badge();
  }

  // ---- The contract --------------------------------------------------------------------------------------------------

  /** Sets any of opt, lr, beta, w and the gradients, and starts again. @param {Record<string, any>} settings */
  configure(settings) {
    this.note(this.take(settings));
    this.goto(0);
  }

  /** Fills k slots, an update after the other; a new update has the gradient of the last. @param {number} k */
  goto(k) {
    const size = GdxRule.RULES[this.opt].length;
    const to = Math.round(Number(k));
    this.k = Math.max(0, Math.min(GdxRule.MOST * size, Number.isFinite(to) ? to : 0));
    while (this.gradients.length * size < this.k) this.gradients.push(this.gradients[this.gradients.length - 1]);
    this.draw();
  }

  get updates() {
    return this.rows.map(({ update, g, alpha, before, after }) => ({
      update, gradient: g, memory: { m: after.memory.m[0], v: after.memory.v[0] }, correction: alpha, step: after.w - before.w, w: after.w,
    }));
  }

  // ---- State ---------------------------------------------------------------------------------------------------------

  /** Every update, made by the rule of the playground on one weight. */
  get rows() {
    const { opt, beta } = this;
    const { f32, BETA_2, OPTIMIZERS } = gdxEngine;
    const lr = f32(this.lr);
    let before = { w: this.w, memory: /** @type {Memory} */ ({ m: [0, 0], v: [0, 0] }) };
    return this.gradients.map((g, i) => {
      const update = i + 1;
      const memory = { m: /** @type {Pair} */ ([...before.memory.m]), v: /** @type {Pair} */ ([...before.memory.v]) };
      const after = { w: OPTIMIZERS[opt].rule(before.w, g, 0, memory, lr, beta, update), memory };
      const alpha = opt === "adam" ? (lr * Math.sqrt(1 - f32(BETA_2) ** update)) / (1 - f32(beta) ** update) : null;
      const row = { update, g, alpha, before, after };
      before = after;
      return row;
    });
  }

  /** @param {Record<string, any>} wanted @returns {string[]} what was refused, in words */
  take(wanted) {
    const { CHECKS, number } = gdxSettings;
    /** @type {Record<string, (value: any) => any>} */
    const checks = {
      opt(value) {
        if (Object.hasOwn(GdxRule.RULES, value)) return value;
        throw new RangeError(`The rule must be one of ${Object.keys(GdxRule.RULES).join(", ")}, not ${String(value).slice(0, 40)}`);
      },
      lr: (value) => CHECKS.lr(value, 0),
      beta: (value) => CHECKS.beta(value, 0),
      w: (value) => number("The weight w", value, -1e6, 1e6),
      gradients(value) {
        if (Array.isArray(value) && value.length && value.length <= GdxRule.MOST) return value.map((g) => number("A gradient", g, -1e6, 1e6));
        throw new RangeError(`The gradients must be a list of 1 to ${GdxRule.MOST} numbers`);
      },
    };
    /** @type {string[]} */ const notes = [];
    for (const [name, value] of Object.entries(wanted)) {
      if (!Object.hasOwn(checks, name)) continue;
      try {
        Object.assign(this, { [name]: checks[name](value) });
      } catch (error) {
        notes.push(`${error instanceof Error ? error.message : error}. It was left as it is.`);
      }
    }
    return notes;
  }

  /** The update at hand, counted from 0, and how many of its slots are filled. */
  get place() {
    const size = GdxRule.RULES[this.opt].length;
    const update = Math.max(0, Math.ceil(this.k / size) - 1);
    return { update, filled: this.k - update * size, size };
  }

  /** The slots of one update, with the numbers put in. @param {number} update @returns {Slot[]} */
  slots(update) {
    const { show } = gdxUi;
    const { before, after, g, alpha } = this.rows[update];
    const { opt, beta } = this;
    /** @param {typeof before} one @returns {Row} */
    const row = (one) => ({ update: update + 1, w: one.w, b: 0, loss: 0, gradW: g, gradB: null, batch: [], batchLoss: null, lr: this.lr, memory: one.memory });
    const lines = gdxWords.equations(opt, beta, row(before), row(after), 0);
    if (alpha !== null) {
      const k = update + 1;
      lines.splice(2, 0, ["α = η √(1 − β₂ᵏ) / (1 − β₁ᵏ)", `${show(this.lr)} × √(1 − 0.999${gdxUi.raised(k)}) / (1 − ${show(beta)}${gdxUi.raised(k)}) = ${show(alpha, 6)}`]);
    }
    const step = after.w - before.w;
    const values = [g, ...(opt === "adam" ? [after.memory.m[0], after.memory.v[0], alpha ?? 0] : [opt === "momentum" ? after.memory.m[0] : after.memory.v[0]]), step];
    return GdxRule.RULES[opt].map(([title, sign], i) => ({
      title, sign, value: values[i],
      formula: i ? lines[i - 1][0] : "g = ∂L/∂w",
      numbers: i ? lines[i - 1][1] : `${show(g, 6)}: the only thing that comes from the loss`,
    }));
  }

  // ---- Building ------------------------------------------------------------------------------------------------------

  build() {
    const { h, button, fresh } = gdxUi;
    const { ui } = this;
    /** @param {string} label @param {string} name @param {(value: string) => void} set */
    const field = (label, name, set) => {
      const id = fresh();
      ui[name] = h("input", { type: "number", step: "any", id, name, onchange: () => set(ui[name].value) });
      return h("div", { class: "gdx-field" }, (ui[`${name}Name`] = h("label", { for: id }, label)), h("div", {}, ui[name]));
    };
    /** @param {Record<string, any>} change the slots that are filled stay filled */
    const change = (change) => {
      this.note(this.take(change));
      this.goto(this.k);
    };
    ui.opt = h("select", { "aria-label": "Rule", onchange: () => this.configure({ opt: ui.opt.value }) },
      ...Object.keys(GdxRule.RULES).map((opt) => h("option", { value: opt }, gdxEngine.OPTIMIZERS[opt].name)));
    ui.slots = h("ol", { class: "gdx-slots" });
    ui.words = h("div", { class: "gdx-chain", role: "status" });
    ui.back = button("Back", () => this.goto(this.k - 1));
    ui.next = button("Next", () => this.goto(this.k + 1), { class: "gdx-main" });
    ui.count = h("output", { class: "gdx-count" });
    ui.notes = h("p", { class: "gdx-notes", role: "alert" });
    ui.badge = h("p", { class: "gdx-badge" });
    this.replaceChildren(
      h("div", { class: "gdx-card", role: "region", "aria-label": "Stepper through one update of a rule" },
        h("div", { class: "gdx-bar" }, ui.opt, button("Start again", () => this.goto(0))),
        ui.slots, ui.words,
        h("div", { class: "gdx-bar" }, ui.back, ui.next, ui.count), ui.notes,
        h("form", { class: "gdx-pair", "aria-label": "Numbers of the rule", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
          field("gradient of this update", "g", (g) => change({ gradients: this.gradients.map((old, i) => (i === this.place.update ? g : old)) })),
          field("rate η", "lr", (lr) => change({ lr })),
          field("momentum β", "beta", (beta) => change({ beta })),
          field("start w", "w", (w) => change({ w }))),
        ui.badge),
      ...this.querySelectorAll(":scope > .gdx-static")); // the still figure is what is printed
  }

  // ---- Showing -------------------------------------------------------------------------------------------------------

  draw() {
    const { h, show, set } = gdxUi;
    const { ui } = this;
    const { update, filled, size } = this.place;
    const slots = this.slots(update);
    const now = slots[filled - 1];
    ui.opt.value = this.opt;
    ui.slots.replaceChildren(...slots.map((slot, i) => {
      const box = h("li", { class: i < filled ? "" : "gdx-empty" },
        h("span", {}, slot.title), h("span", { class: "gdx-formula" }, slot.sign), h("b", {}, i < filled ? show(slot.value) : "?"));
      if (i === filled - 1) set(box, { "aria-current": "step" });
      return box;
    }));
    ui.words.replaceChildren(
      h("p", {}, h("b", {}, now ? `${now.title} of update ${update + 1}` : "Start")),
      h("p", {}, ...(now
        ? [h("span", { class: "gdx-formula" }, now.formula), ` = ${now.numbers}`]
        : [`The weight is ${show(this.w)}, and the rule remembers nothing yet. Next: the gradient.`])));
    ui.back.disabled = this.k === 0;
    ui.next.disabled = this.k === GdxRule.MOST * size;
    ui.count.value = filled ? `update ${update + 1}, slot ${filled} of ${size}` : "start";
    ui.betaName.textContent = { momentum: "momentum β", rmsprop: "decay ρ", adam: "decay β₁" }[this.opt];
    for (const name of /** @type {const} */ (["lr", "beta", "w"])) ui[name].value = String(this[name]);
    ui.g.value = String(this.gradients[update]);
  }

  /** @param {string[]} notes */
  note(notes) {
    this.ui.notes.textContent = notes.join(" ");
  }

  /** Makes again what Keras made of the same gradients while the site was built, and says how far the two are apart. */
  badge() {
    const given = gdxUi.payload();
    if (!given?.rules) return;
    /** @type {number[][]} */ const pairs = [];
    for (const { path, ...settings } of given.rules) {
      const twin = new GdxRule();
      twin.take(settings);
      const { updates } = twin;
      path.forEach((/** @type {number} */ w, /** @type {number} */ i) => pairs.push([updates[i].w, w]));
    }
    const largest = gdxUi.apart(pairs);
    gdxUi.judge(this.ui.badge, largest <= 1e-12,
      `equal to Keras ${given.keras}: ${pairs.length} updates of ${given.rules.length} rules made again in this page, largest difference ${gdxUi.show(largest, 3)}`);
  }
}

/** The slots of each rule, and how many updates can be stepped through. */
GdxRule.MOST = 50;
/** @type {Record<string, [string, string][]>} */
GdxRule.RULES = {
  momentum: [["Gradient", "g"], ["Memory: the velocity", "v"], ["Step", "Δw"]],
  rmsprop: [["Gradient", "g"], ["Memory: mean square", "s"], ["Step", "Δw"]],
  adam: [["Gradient", "g"], ["Memory: mean", "m"], ["Memory: mean square", "s"], ["Correction", "α"], ["Step", "Δw"]],
};

customElements.define("gdx-rule", GdxRule);
