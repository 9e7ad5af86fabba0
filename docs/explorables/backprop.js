// <gdx-backprop>: a small computational graph, stepped through forward and backward.
//
// For tests and pages that embed it: configure({x, y, weights}), goto(k), and nodes. Weights come in Keras's order:
// w1, w2, b1, b2, v1, v2, c for the network; z for the circuit.

class GdxBackprop extends HTMLElement {
  constructor() {
    super();
    this.kind = "net";
    this.k = 0;
    this.rate = 0.02;
    this.leaves = /** @type {Values} */ ({});
    /** @type {Record<string, any>} */ this.ui = {};
    this.built = false;
  }

  connectedCallback() {
    if (this.built) return;
    this.built = true;
    this.kind = this.getAttribute("graph") === "circuit" ? "circuit" : "net";
    this.take(gdxNet.STANDARD[this.kind]);
    const preset = this.query(this.getAttribute("settings") || "");
    this.take(preset);
    const mine = document.querySelector("gdx-backprop") === this && /[#&](goto|weights)=/.test(location.hash);
    const asked = mine ? this.query(location.hash.slice(1)) : {};
    if (Object.hasOwn(gdxNet.GRAPHS, asked.graph)) this.pick(asked.graph);
    this.build();
    this.form();
    this.note(this.take(asked));
    this.goto(asked.goto ?? preset.goto ?? 0);
    this.resizing = new ResizeObserver(() => this.lay());
    this.resizing.observe(this);
    this.lay();
    if (mine) this.scrollIntoView({ block: "start" });
  }

  /** @param {string} text @returns {Record<string, any>} */
  query(text) {
    const found = Object.fromEntries(new URLSearchParams(text.replace(/\+/g, "%2B")));
    return "weights" in found ? { ...found, weights: found.weights.split(",") } : found;
  }

  // ---- The contract --------------------------------------------------------------------------------------------------

  /** Sets any of x, y and the weights (a flat list, or Keras's list of arrays). @param {Record<string, any>} settings */
  configure(settings) {
    this.note(this.take(settings));
    this.form();
    this.goto(0);
  }

  /** Goes to step k: 0 is before the forward pass, the last one is the end of the backward pass. @param {number} k */
  goto(k) {
    const to = Math.round(Number(k));
    this.k = Math.max(0, Math.min(this.steps.length, Number.isFinite(to) ? to : 0));
    this.draw();
  }

  /** Every node with its value and the gradient of the end by it, whichever step is shown. */
  get nodes() {
    const { value, grad } = this.result;
    return this.graph.vertices.map(({ name }) => ({ name, value: value[name], grad: grad[name] }));
  }

  // ---- State ---------------------------------------------------------------------------------------------------------

  get graph() {
    return gdxNet.GRAPHS[this.kind];
  }

  get steps() {
    return gdxNet.steps(this.graph);
  }

  get result() {
    return gdxNet.run(this.graph, this.leaves);
  }

  /** @param {Record<string, any>} wanted @returns {string[]} what was not understood */
  take(wanted) {
    /** @type {string[]} */ const notes = [];
    const { weights } = this.graph;
    /** @param {string} name @param {any} given */
    const put = (name, given) => {
      const v = typeof given === "string" && !given.trim() ? NaN : Number(given);
      if (Math.abs(v) <= 1e4) this.leaves[name] = v;
      else notes.push(`${name} must be a number from −10000 to 10000, not ${String(given).slice(0, 40) || "nothing"}. It was left as it is.`);
    };
    for (const name of ["x", "y"]) if (wanted[name] !== undefined) put(name, wanted[name]);
    if (wanted.weights !== undefined) {
      const flat = [wanted.weights].flat(Infinity);
      if (flat.length === weights.length) weights.forEach((name, i) => put(name, flat[i]));
      else notes.push(`weights must be ${weights.length} numbers (${weights.join(", ")}), not ${flat.length}. They were left as they are.`);
    }
    return notes;
  }

  /** @param {string} kind */
  pick(kind) {
    this.kind = kind;
    this.leaves = {};
    this.take(gdxNet.STANDARD[kind]);
  }

  // ---- Building ------------------------------------------------------------------------------------------------------

  build() {
    const { h, s, button } = gdxUi;
    const { ui } = this;
    ui.svg = s("svg", { role: "img", "aria-label": "" });
    ui.slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Step", oninput: () => this.goto(ui.slider.value) });
    ui.back = button("Back", () => this.goto(this.k - 1));
    ui.next = button("Next", () => this.goto(this.k + 1), { class: "gdx-main" });
    ui.count = h("output", { class: "gdx-count" });
    ui.words = h("div", { class: "gdx-chain", role: "status" });
    ui.notes = h("p", { class: "gdx-notes", role: "alert" });
    ui.form = h("form", { class: "gdx-leaves", "aria-label": "Inputs and weights", onsubmit: (/** @type {Event} */ event) => event.preventDefault() });
    ui.kind = h("select", { "aria-label": "Graph", onchange: () => { this.pick(ui.kind.value); this.note([]); this.form(); this.lay(true); this.goto(0); } },
      h("option", { value: "net" }, "a 1-2-1 tanh network"), h("option", { value: "circuit" }, "the circuit (x + y) z"));
    ui.rate = h("input", { type: "number", step: "any", min: 0, "aria-label": "Learning rate", value: this.rate });
    ui.after = h("span", { role: "status" });
    ui.badge = h("p", { class: "gdx-badge" });
    const card = h("div", { class: "gdx-card", role: "region", "aria-label": "Backprop stepper" },
      h("div", { class: "gdx-bar" }, ui.kind, button("Copy link to this step", () => this.copyLink())),
      ui.svg, ui.words,
      h("div", { class: "gdx-bar" }, ui.back, ui.next, h("span", { class: "gdx-slider" }, ui.slider), ui.count),
      ui.notes, ui.form,
      h("div", { class: "gdx-bar" }, h("label", {}, "η ", ui.rate), button("Apply the update", () => this.update()), ui.after),
      ui.badge);
    card.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way || /INPUT|SELECT/.test(/** @type {Element} */ (event.target).tagName) || event.altKey || event.ctrlKey || event.metaKey) return;
      event.preventDefault();
      this.goto(this.k + way);
    });
    this.replaceChildren(card, ...this.querySelectorAll(":scope > .gdx-static")); // the still figure is what is printed
  }

  /** The fields of the leaves. */
  form() {
    const { h } = gdxUi;
    this.ui.kind.value = this.kind;
    this.ui.form.replaceChildren(...[...this.graph.inputs, ...this.graph.weights].map((name) => {
      const field = h("input", { type: "number", step: "any", name, value: this.leaves[name] });
      field.addEventListener("change", () => {
        const { inputs, weights } = this.graph;
        const wanted = inputs.includes(name) ? { [name]: field.value } : { weights: weights.map((w) => (w === name ? field.value : this.leaves[w])) };
        this.note(this.take(wanted));
        field.value = String(this.leaves[name]);
        this.draw();
      });
      return h("label", {}, h("span", { class: "gdx-formula" }, `${this.sign(name)} `), field);
    }));
    this.badge();
  }

  /** @param {string} name @returns {string} the name as mathematics writes it */
  sign(name) {
    return name === "loss" ? "L" : name.replace("yhat", "ŷ").replace(/\d/, (d) => "₀₁₂"[Number(d)]);
  }

  /** Chooses the layout for the width: left to right, or on a phone top to bottom. @param {boolean} [force] */
  lay(force = false) {
    const { s, set } = gdxUi;
    const width = this.ui.svg.getBoundingClientRect().width || 700;
    if (width === this.width && !force) return;
    this.width = width;
    const { graph } = this;
    const upright = width < 560;
    const [box, tall] = upright ? [Math.min(64, width / 5 - 3), 56] : [96, 60];
    const [along, across] = upright ? [124, width / graph.rows] : [width / graph.columns, 76];
    const height = upright ? graph.columns * along - (along - tall) + 12 : graph.rows * across;
    set(this.ui.svg, { viewBox: `0 0 ${width} ${height}`, style: `height:${height}px` });
    /** @type {Record<string, Pair>} */ this.place = {};
    for (const { name, at: [column, row] } of graph.vertices) {
      this.place[name] = upright ? [(row + 0.5) * across, column * along + tall / 2 + 4] : [(column + 0.5) * along, (row + 0.5) * across];
    }
    /** @type {Record<string, {edge: SVGElement, text: SVGElement, back: SVGElement}>} */ this.edges = {};
    /** @type {Record<string, Record<string, SVGElement>>} */ this.boxes = {};
    const lines = [];
    const labels = [];
    for (const { name, from } of graph.vertices) {
      for (const source of from) {
        const [a, b] = [this.place[source], this.place[name]];
        const middle = [a[0] + (b[0] - a[0]) / 2, a[1] + (b[1] - a[1]) / 2];
        const edge = s("line", { x1: a[0], y1: a[1], x2: b[0], y2: b[1], class: "gdx-edge" });
        const back = s("rect", { class: "gdx-slope-back", rx: 3, height: 15, y: middle[1] - 8 });
        const text = s("text", { x: middle[0], y: middle[1] + 3.5, "text-anchor": "middle", class: "gdx-slope" });
        this.edges[`${source} ${name}`] = { edge, text, back };
        lines.push(edge);
        labels.push(back, text);
      }
    }
    const { place, boxes } = this;
    const nodes = graph.vertices.map(({ name, op }) => {
      const [x, y] = place[name];
      const frame = s("rect", { x: -box / 2, y: -tall / 2, width: box, height: tall, rx: op ? 14 : 4 });
      const sign = s("text", { y: -tall / 2 + 17, "text-anchor": "middle", class: "gdx-sign" }, this.sign(name));
      const value = s("text", { y: 7, "text-anchor": "middle", class: "gdx-value" });
      const grad = s("text", { y: tall / 2 - 5, "text-anchor": "middle", class: "gdx-grad" });
      const group = s("g", { transform: `translate(${x} ${y})` }, frame, sign, value, grad);
      boxes[name] = { group, value, grad };
      return group;
    });
    this.ui.svg.replaceChildren(...lines, ...labels, ...nodes);
    this.draw();
  }

  // ---- Showing -------------------------------------------------------------------------------------------------------

  draw() {
    const { boxes, edges } = this;
    if (!boxes || !edges) return;
    const { set, show } = gdxUi;
    const { graph, steps, result: { value, grad, slopes } } = this;
    const done = steps.slice(0, this.k);
    const now = done[done.length - 1];
    const valued = new Set(graph.vertices.filter((v) => !v.op).map((v) => v.name));
    const graded = new Set();
    for (const { name, backward } of done) (backward ? graded : valued).add(name);
    const users = graph.vertices.filter((v) => now && v.from.includes(now.name));
    for (const { name, op, from } of graph.vertices) {
      const { group, value: v, grad: g } = boxes[name];
      const here = now?.name === name;
      set(group, { class: `gdx-node${op ? " gdx-op" : ""}${here ? (now.backward ? " gdx-now gdx-backward" : " gdx-now") : ""}` });
      v.textContent = valued.has(name) ? show(value[name]) : "";
      g.textContent = graded.has(name) ? `∇ ${show(grad[name], 3)}` : "";
      from.forEach((source, i) => {
        const { edge, text, back } = edges[`${source} ${name}`];
        const forward = here && !now.backward;
        const backward = now?.backward && now.name === source && users.some((user) => user.name === name);
        set(edge, { class: `gdx-edge${forward ? " gdx-lit" : ""}${backward ? " gdx-lit gdx-backward" : ""}` });
        const label = valued.has(name) && (backward || graded.has(source) || (this.width >= 560 && graded.has(name))) ? show(slopes[name][i], 3) : "";
        text.textContent = label;
        const wide = label.length * 6.4 + 6;
        set(text, { class: `gdx-slope${backward ? " gdx-lit" : ""}` });
        set(back, { x: Number(text.getAttribute("x")) - wide / 2, width: label ? wide : 0 });
      });
    }
    const { ui } = this;
    ui.slider.max = steps.length;
    ui.slider.value = this.k;
    ui.back.disabled = this.k === 0;
    ui.next.disabled = this.k === steps.length;
    const half = steps.filter((step) => !step.backward).length;
    ui.count.value = this.k === 0 ? "start" : this.k <= half ? `forward ${this.k} of ${half}` : `backward ${this.k - half} of ${steps.length - half}`;
    ui.slider.setAttribute("aria-valuetext", ui.count.value);
    this.explain(now, users);
    const known = graph.vertices.filter((v) => valued.has(v.name)).map((v) => `${v.name} = ${show(value[v.name])}${graded.has(v.name) ? `, gradient ${show(grad[v.name])}` : ""}`);
    set(ui.svg, { "aria-label": `Computational graph. ${known.join("; ")}.` });
  }

  /** The step in symbols and in numbers. @param {{name: string, backward: boolean} | undefined} now @param {Vertex[]} users */
  explain(now, users) {
    const { h, show, term } = gdxUi;
    const { graph, result: { value, grad, slopes } } = this;
    const line = (/** @type {string} */ symbols, /** @type {string} */ numbers) => [h("span", { class: "gdx-formula" }, symbols), ` = ${numbers}`];
    const end = this.sign(graph.end);
    let title = "Start";
    /** @type {(Node | string)[]} */ let formula = ["The inputs and weights are given. Next: the forward pass."];
    if (now && !now.backward) {
      title = `Forward: the value of ${this.sign(now.name)}`;
      const { op, from } = /** @type {Vertex} */ (graph.vertices.find((v) => v.name === now.name));
      const [a, n] = [from.map((name) => this.sign(name)), from.map((name) => term(value[name]))];
      /** @param {string[]} p @param {string} times */
      const sum = (p, times) => `${p.slice(0, -1).reduce((text, v, i) => (i % 2 ? `${text}${times}${v}` : `${text}${i ? " + " : ""}${v}`), "")} + ${p[p.length - 1]}`;
      const [symbols, numbers] = {
        add: [a.join(" + "), n.join(" + ")], multiply: [a.join(" "), n.join(" × ")], tanh: [`tanh ${a[0]}`, `tanh ${n[0]}`],
        squared: [`(${a[0]} − ${a[1]})²`, `(${n[0]} − ${n[1]})²`], affine: [sum(a, " "), sum(n, " × ")],
      }[op || "add"] || ["", ""];
      formula = line(`${this.sign(now.name)} = ${symbols}`, `${numbers} = ${show(value[now.name], 6)}`);
    } else if (now && now.name === graph.end) {
      title = `Backward: it starts at ${end}`;
      formula = line(`∂${end}/∂${end}`, `1: ${end} changes exactly as fast as itself.`);
    } else if (now) {
      const me = this.sign(now.name);
      title = `Backward: the gradient at ${me}`;
      const parts = users.map((user) => [this.sign(user.name), grad[user.name], slopes[user.name][user.from.indexOf(now.name)]]);
      const symbols = parts.map(([to]) => `∂${end}/∂${to} · ∂${to}/∂${me}`).join(" + ");
      const numbers = parts.map(([, above, local]) => `${term(Number(above))} × ${term(Number(local))}`).join(" + ");
      formula = line(`∂${end}/∂${me} = ${symbols}`, `${numbers} = ${show(grad[now.name], 6)}`);
      if (parts.length > 1) formula.push(h("br"), `${me} reaches ${end} along ${parts.length} paths: their products are summed.`);
    }
    this.ui.words.replaceChildren(h("p", {}, h("b", {}, title)), h("p", {}, ...formula));
  }

  /** @param {string[]} notes */
  note(notes) {
    this.ui.notes.textContent = notes.join(" ");
  }

  /** One step of gradient descent on the weights; then the forward pass again. */
  update() {
    const { h, show } = gdxUi;
    const rate = Number(this.ui.rate.value);
    if (!(rate > 0 && rate <= 1000)) return this.note(["The learning rate must be a number above 0 and at most 1000."]);
    const { value, grad } = this.result;
    const before = value[this.graph.end];
    const weights = this.graph.weights.map((name) => this.leaves[name] - rate * grad[name]);
    this.note(this.take({ weights }));
    this.form();
    this.goto(this.steps.filter((step) => !step.backward).length);
    const playground = document.querySelector("gdx-playground");
    if (playground) playground.id ||= "gdx-playground";
    const link = playground ? `#${playground.id}` : this.dataset.playground;
    const end = this.sign(this.graph.end);
    this.ui.after.replaceChildren(`${end} went from ${show(before)} to ${show(this.result.value[this.graph.end])}. `,
      link ? h("a", { href: link }, "Make many such updates in the playground") : "");
    return undefined;
  }

  async copyLink() {
    const { x, y } = this.leaves;
    const weights = this.graph.weights.map((name) => this.leaves[name]);
    const link = `${location.href.split("#")[0]}#graph=${this.kind}&x=${x}&y=${y}&weights=${weights.join(",")}&goto=${this.k}`;
    this.note([(await gdxUi.copy(link)) ? "The link is in the clipboard." : `The browser keeps its clipboard closed here: ${link}`]);
  }

  /** Compares every number with those that Keras's tape gave for the same leaves while the site was built. */
  badge() {
    const given = gdxUi.payload();
    const found = given?.graphs?.find((/** @type {any} */ one) => one.graph === this.kind && Object.entries(one.leaves).every(([name, v]) => this.leaves[name] === v));
    this.ui.badge.textContent = "";
    if (!found) return;
    const { value, grad } = this.result;
    const pairs = Object.entries(found.nodes).flatMap(([name, [v, g]]) => [[value[name], v], [grad[name], g]]);
    const largest = gdxUi.apart(pairs);
    gdxUi.judge(this.ui.badge, largest <= 1e-9,
      `equal to the tape of Keras ${given.keras}: ${pairs.length} values and gradients, largest difference ${gdxUi.show(largest, 3)}`);
  }
}

customElements.define("gdx-backprop", GdxBackprop);
