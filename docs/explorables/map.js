// <gdx-map>: how many updates the neuron needs, over learning rate and momentum, or learning rate and batch size.

class GdxMap extends HTMLElement {
  constructor() {
    super();
    this.by = "beta";
    /** @type {Pair} */ this.at = [0.1, 0];
    /** @type {Record<string, any>} */ this.ui = {};
    this.plot = new gdxPlots.Plot("Map of the updates needed", "learning rate η", "momentum β");
    this.surface = new gdxPlots.Surface();
    this.world = gdxSettings.standard().world;
    /** @type {any} */ this.given = null;
    /** @type {Record<number, (update: number) => number[]>} */ this.orders = {};
    this.built = false;
  }

  connectedCallback() {
    if (this.built) return;
    this.built = true;
    this.given = gdxUi.payload()?.map;
    this.build();
    this.turn("beta");
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(this);
  }

  // ---- What the map shows --------------------------------------------------------------------------------------------

  get count() {
    return this.world.data.length;
  }

  /** The range of both axes; batch sizes stand at whole numbers. @returns {{xs: Pair, ys: Pair, columns: number, rows: number}} */
  get area() {
    return this.by === "beta" ? { xs: [0, 0.26], ys: [0, 1], columns: 104, rows: 50 } : { xs: [0, 0.16], ys: [0.5, this.count + 0.5], columns: 128, rows: this.count };
  }

  /** @param {number} lr @param {number} other @returns {RunSettings} */
  settings(lr, other) {
    return this.by === "beta"
      ? { opt: "momentum", batch: this.count, lr, beta: other, seed: 0, rates: [] }
      : { opt: "sgd", batch: other, lr, beta: 0, seed: 0, rates: [] };
  }

  /** @param {number} lr @param {number} other @returns {number} updates until the loss is a millionth of the first; infinite if it explodes; NaN if it is slow */
  needed(lr, other) {
    const { f32, batchOrder } = gdxEngine;
    const { data, w: w0, b: b0 } = this.world;
    const { batch } = this.settings(lr, other);
    const order = (this.orders[batch] ||= batchOrder(data.length, batch, 0));
    const full = batch === data.length;
    const start = gdxEngine.lossAndGradient(data, w0, b0).loss;
    const [rate, keep] = [f32(lr), this.by === "beta" ? f32(other) : 0];
    let [w, b, vw, vb] = [w0, b0, 0, 0];
    for (let k = 0; k <= this.limit; k++) {
      const all = gdxEngine.lossAndGradient(data, w, b);
      if (all.loss <= 1e-6 * start) return k;
      if (!(all.loss < 1e6 * start)) return Infinity;
      const { gradW, gradB } = full ? all : gdxEngine.lossAndGradient(data, w, b, order(k));
      vw = vw * keep - gradW * rate;
      vb = vb * keep - gradB * rate;
      w += vw;
      b += vb;
    }
    return NaN;
  }

  get limit() {
    return this.given?.limit ?? 400;
  }

  // ---- Building ------------------------------------------------------------------------------------------------------

  build() {
    const { h, s } = gdxUi;
    const { ui } = this;
    this.plot.edge.left = 34;
    ui.image = s("image", { preserveAspectRatio: "none", "aria-hidden": "true" });
    ui.boundary = s("path", { class: "gdx-boundary" });
    ui.boundaryBack = s("path", { class: "gdx-boundary-back" });
    ui.here = s("path", { class: "gdx-here", d: "M-9 0H-4M4 0H9M0-9V-4M0 4V9" });
    ui.hereBack = s("circle", { r: 4, class: "gdx-here-dot" });
    this.plot.under.append(ui.image);
    this.plot.inside.append(ui.boundaryBack, ui.boundary);
    this.plot.handles.append(ui.hereBack, ui.here);
    this.plot.svg.classList.add("gdx-map");
    this.plot.svg.addEventListener("pointermove", (event) => {
      if (event.pointerType === "mouse" || event.buttons) this.point(this.plot.at(event));
    });
    this.plot.svg.addEventListener("pointerdown", (event) => this.point(this.plot.at(event)));
    this.plot.svg.addEventListener("click", () => this.open(false));
    this.surface.svg.setAttribute("aria-label", "The run at this place, on the loss surface");
    ui.by = h("select", { "aria-label": "What the map is drawn over", onchange: () => this.turn(ui.by.value) },
      h("option", { value: "beta" }, "learning rate × momentum"), h("option", { value: "batch" }, "learning rate × batch size"));
    /** @param {string} label @param {number} i */
    const slider = (label, i) => {
      const field = h("input", { type: "range", step: "any", "aria-label": label });
      field.addEventListener("input", () => this.point(i ? [this.at[0], Number(field.value)] : [Number(field.value), this.at[1]]));
      return field;
    };
    ui.rate = slider("Learning rate", 0);
    ui.other = slider("Momentum", 1);
    ui.names = [h("span", {}), h("span", {})];
    ui.say = h("p", { class: "gdx-say", role: "status" });
    ui.key = h("p", { class: "gdx-key" });
    ui.badge = h("p", { class: "gdx-badge" });
    this.replaceChildren(h("div", { class: "gdx-card", role: "region", "aria-label": "Map of convergence" },
      h("div", { class: "gdx-bar" }, ui.by),
      h("div", { class: "gdx-maps" }, h("div", {}, this.plot.svg, ui.key), h("div", {}, this.surface.svg, h("p", { class: "gdx-limit" }, "The run at this place, on its loss surface"))),
      h("div", { class: "gdx-form" },
        h("label", { class: "gdx-range" }, ui.names[0], ui.rate), h("label", { class: "gdx-range" }, ui.names[1], ui.other)),
      ui.say,
      h("div", { class: "gdx-bar" }, h("button", { type: "button", class: "gdx-main", onclick: () => this.open(true) }, "Open this run in the playground")),
      ui.badge), ...this.querySelectorAll(":scope > .gdx-static")); // the still figure is what is printed
  }

  /** @param {string} by */
  turn(by) {
    const { ui, plot } = this;
    const { h } = gdxUi;
    this.by = by === "batch" ? "batch" : "beta";
    const { xs, ys } = this.area;
    plot.window(xs, ys);
    plot.names[1] = this.by === "beta" ? "momentum β" : "batch size";
    gdxUi.set(ui.rate, { min: xs[0] + 0.001, max: xs[1], step: 0.001 });
    gdxUi.set(ui.other, this.by === "beta" ? { min: 0, max: 0.99, step: 0.01, "aria-label": "Momentum" } : { min: 1, max: this.count, step: 1, "aria-label": "Batch size" });
    this.at = this.by === "beta" ? [0.1, 0] : [0.06, 1];
    ui.key.replaceChildren("updates to converge: ", ...[5, 20, 60, 150, this.limit].map((k) => h("span", { style: `--k:${this.colour(k)}` }, String(k))),
      h("span", { class: "gdx-slow" }, "more"), h("span", { class: "gdx-burst" }, "diverges"), h("span", { class: "gdx-dashed" }, this.by === "beta" ? "theory: 2(1 + β)/λ" : "theory: mean-square limit"));
    ui.image.setAttribute("href", this.paint());
    plot.width = 0;
    this.fit();
    this.point(this.at);
    this.badge();
  }

  /** @param {number} k @returns {string} */
  colour(k) {
    const t = Math.min(1, Math.log(k / 4) / Math.log(this.limit / 4));
    // A dark-to-light ramp in one direction of lightness, legible without colour.
    const stops = [[22, 43, 92], [0, 114, 178], [86, 180, 233], [205, 232, 247]];
    const place = Math.max(0, t) * (stops.length - 1);
    const i = Math.min(stops.length - 2, Math.floor(place));
    return `rgb(${stops[i].map((v, c) => Math.round(v + (stops[i + 1][c] - v) * (place - i))).join(" ")})`;
  }

  /** @returns {string} the map as a picture, one pixel a place */
  paint() {
    const { xs, ys, columns, rows } = this.area;
    const canvas = gdxUi.h("canvas", { width: columns, height: rows });
    const pen = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < rows; j++) {
        const lr = xs[0] + ((i + 0.5) / columns) * (xs[1] - xs[0]);
        const other = ys[0] + ((j + 0.5) / rows) * (ys[1] - ys[0]);
        const k = this.needed(lr, other);
        pen.fillStyle = Number.isNaN(k) ? "rgb(128 128 128 / .16)" : k === Infinity ? "rgb(213 94 0 / .45)" : this.colour(Math.max(k, 1));
        pen.fillRect(i, rows - 1 - j, 1, 1);
      }
    }
    return canvas.toDataURL();
  }

  // ---- Showing -------------------------------------------------------------------------------------------------------

  fit() {
    const { plot, surface, ui } = this;
    const changed = [plot.measure(), surface.measure()].some(Boolean);
    if (!changed) return;
    const { left, top } = plot.edge;
    gdxUi.set(ui.image, { x: left, y: top, width: plot.inner[0], height: plot.inner[1] });
    plot.drawAxes(undefined, this.by === "batch" ? Array.from({ length: this.count }, (_, i) => i + 1) : undefined);
    const d = this.line().map(([lr, other], i) => `${i ? "L" : "M"}${plot.x(lr)} ${plot.y(other)}`).join("");
    gdxUi.set(ui.boundary, { d });
    gdxUi.set(ui.boundaryBack, { d });
    surface.look(this.world, []);
    surface.frame(this.world);
    this.point(this.at);
  }

  /** The boundary that theory gives, as points of the map. @returns {Pair[]} */
  line() {
    const steepest = gdxEngine.bowl(this.world.data).curvature[0];
    if (this.by === "beta") return [0, 1].map((beta) => [/** @type {number} */ (gdxEngine.stableRate("momentum", beta, steepest)), beta]);
    const limits = /** @type {number[]} */ (this.given?.limits ?? []);
    return limits.flatMap((lr, i) => /** @type {Pair[]} */ ([[lr, i + 0.5], [lr, i + 1.5]]));
  }

  /** @param {Pair} place */
  point([lr, other]) {
    const { ui, plot, surface } = this;
    const { xs } = this.area;
    const { show } = gdxUi;
    const rate = Math.max(0.001, Math.min(xs[1], gdxUi.round(lr, 3)));
    const second = this.by === "beta" ? Math.max(0, Math.min(0.99, gdxUi.round(other, 2))) : Math.max(1, Math.min(this.count, Math.round(other)));
    this.at = [rate, second];
    gdxUi.set(ui.hereBack, { cx: plot.x(rate), cy: plot.y(second) });
    gdxUi.set(ui.here, { transform: `translate(${plot.x(rate)} ${plot.y(second)})` });
    ui.rate.value = String(rate);
    ui.other.value = String(second);
    ui.names[0].textContent = `learning rate ${show(rate)}`;
    ui.names[1].textContent = this.by === "beta" ? `momentum ${show(second)}` : `batch size ${second}: ${gdxWords.variant(second, this.count)}`;
    const k = this.needed(rate, second);
    ui.say.textContent = k === Infinity
      ? "Diverges: the loss grows past a million times its start."
      : Number.isNaN(k) ? `Not there after ${this.limit} updates.` : `Converges: the loss is a millionth of its start after ${k} updates.`;
    const run = new gdxEngine.Run(this.settings(rate, second), this.world);
    for (let i = 0; i < Math.min(80, Number.isFinite(k) ? k : 80); i++) if (!run.step()) break;
    if (surface.look(this.world, [run])) surface.frame(this.world);
    surface.update(this.world, [{ run, kind: gdxPlots.kindOf(run.settings, this.count), mark: 0 }], -1);
  }

  /** Shows the run in the page's playground, or opens the page that has one. @param {boolean} go */
  open(go) {
    const { opt, batch, lr, beta, seed } = this.settings(...this.at);
    const { w, b, data } = this.world;
    const playground = /** @type {any} */ (document.querySelector("gdx-playground"));
    if (playground?.configure) {
      playground.configure({ opt, batch, lr, ...(this.by === "beta" ? { beta } : {}), w, b, seed, data });
      playground.step(30);
      if (go) {
        playground.scrollIntoView({ block: "start", behavior: gdxUi.calm() ? "auto" : "smooth" });
        playground.querySelector(".gdx-main")?.focus({ preventScroll: true });
      } else this.ui.say.textContent += " The playground of this page shows this run.";
    } else if (go) {
      const setup = { world: this.world, runs: [{ opt, batch, lr, beta: beta || 0.9, seed, rates: [] }], active: 0, steps: 30 };
      location.href = `${this.dataset.playground || ""}#${gdxSettings.write(setup)}`;
    }
  }

  /** Compares the places that Keras ran while the site was built. */
  badge() {
    const { given } = this;
    const places = (given?.places ?? []).filter((/** @type {any} */ place) => place.by === this.by);
    if (!places.length) return;
    const same = places.filter((/** @type {any} */ { lr, other, needed }) => {
      const k = this.needed(lr, other);
      return needed === (Number.isFinite(k) ? k : null);
    });
    gdxUi.judge(this.ui.badge, same.length === places.length,
      `${same.length} of ${places.length} places that Keras ${gdxUi.payload().keras} ran need the same number of updates here.`);
  }
}

customElements.define("gdx-map", GdxMap);
