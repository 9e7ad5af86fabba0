// <gdx-playground>: gradient descent on one neuron, to be touched. With the attribute `small` it shows its surface, its
// line, Play and the rate, and no more.
//
// For tests and pages that embed it: configure({opt, batch, lr, beta, w, b, seed, data}), step(n), reset(), and trace.

const GDX_ASKS = /[#&](opt|batch|lr|beta|w|b|seed|data|step|also)=/; // what makes the part after # a setting of the playground

class GdxPlayground extends HTMLElement {
  constructor() {
    super();
    /** @type {Setup} */ this.setup = gdxSettings.standard();
    /** @type {InstanceType<typeof gdxEngine.Run>[]} */ this.runs = [];
    /** @type {Record<string, any>} */ this.ui = {};
    /** @type {World | null} */ this.framed = null;
    /** @type {InstanceType<typeof gdxEngine.Run> | null} */ this.tabled = null; // whose rows stand in the table
    this.plots = {
      surface: new gdxPlots.Surface(),
      fit: new gdxPlots.Fit({
        grab: () => (this.held = true),
        move: (i, to) => this.edit((data) => (data[i] = [gdxUi.round(to[0], 3), gdxUi.round(to[1], 3)], data), true),
        done: () => this.reframe(),
        remove: (i) => this.removePoint(i),
        add: (at) => this.addPoint(at),
      }),
      curve: new gdxPlots.Curve(),
    };
    this.held = false; // something is being dragged: the picture stays where it is
    this.playing = 0;
    this.writing = 0;
    this.written = ""; // what the address last held
    this.speed = 12;
    this.built = false;
    this.follow = () => this.address() && this.open();
  }

  connectedCallback() {
    if (this.built) return;
    this.built = true;
    this.small = this.hasAttribute("small");
    if (this.small) this.speed = 30;
    // The address belongs to the first playground of a page that has room for all settings.
    this.first = !this.small && document.querySelector("gdx-playground:not([small])") === /** @type {Element} */ (this);
    this.build();
    this.open();
    this.resizing = new ResizeObserver(() => this.fit());
    this.resizing.observe(this);
    const again = performance.getEntriesByType("navigation")[0];
    if (this.address() && /** @type {any} */ (again)?.type !== "reload") this.scrollIntoView({ block: "start" });
    addEventListener("hashchange", this.follow);
    this.badge();
  }

  disconnectedCallback() {
    this.pause();
    removeEventListener("hashchange", this.follow);
  }

  // ---- The address ---------------------------------------------------------------------------------------------------

  /** @returns {string} what the address asks of this playground, or nothing */
  address() {
    return this.first && GDX_ASKS.test(location.hash) ? location.hash : "";
  }

  /** Begins as the page says, and then as the address does. */
  open() {
    this.pause();
    this.setup = gdxSettings.standard();
    const notes = gdxSettings.read(this.getAttribute("settings") || "", this.setup);
    if (this.address()) {
      const { world, runs, active, steps } = this.setup;
      this.setup = { world, runs: [runs[active]], active: 0, steps };
      notes.push(...gdxSettings.read(this.address(), this.setup));
    }
    this.restart(this.setup.steps);
    this.note(notes);
    this.written = this.state();
  }

  /** @returns {string} everything that a link holds */
  state() {
    return gdxSettings.write({ ...this.setup, steps: this.updates });
  }

  /** Writes the state into the address when nothing has moved for a moment, so that a reload brings it back. */
  remember() {
    if (!this.first) return;
    clearTimeout(this.writing);
    this.writing = setTimeout(() => {
      const state = this.state();
      if (state === this.written) return;
      this.written = state;
      try {
        history.replaceState(history.state, "", `#${state}`);
      } catch {
        // a browser that allows no more changes of the address, or none on a file: Copy link still works
      }
    }, 300);
  }

  // ---- The contract --------------------------------------------------------------------------------------------------

  /** Changes any of the settings of the run shown, and starts again. @param {Record<string, unknown>} settings */
  configure(settings) {
    this.pause();
    if (typeof settings !== "object" || settings === null) throw new TypeError("configure takes an object of settings.");
    const run = this.setup.runs[this.setup.active];
    this.setup.runs[this.setup.active] = { ...run, rates: [] };
    this.note(gdxSettings.apply(this.setup, settings));
    this.freeRoom();
    this.restart(0);
  }

  /** Makes n updates of every run. @param {number} [n] */
  step(n = 1) {
    this.pause();
    this.advance(Math.max(0, Math.floor(Number(n) || 0)));
  }

  /** Back to the start, which stays where it is, as do the seed and every other setting. */
  reset() {
    this.pause();
    for (const run of this.setup.runs) {
      if (run.rates.length) Object.assign(run, { lr: run.rates[run.rates.length - 1][1], rates: [] });
    }
    this.note([]);
    this.restart(0);
  }

  /** The record of the run shown, the start first. */
  get trace() {
    return this.run.rows.map(({ update, w, b, loss, gradW, gradB, batch, batchLoss }) =>
      ({ update, w, b, loss, gradW, gradB, batch: [...batch], batchLoss }));
  }

  /** The run shown as a script for Keras. */
  get code() {
    return gdxWords.keras(this.run);
  }

  // ---- Running -------------------------------------------------------------------------------------------------------

  get run() {
    return this.runs[this.setup.active];
  }

  get settled() {
    return this.runs.every((run) => run.settled);
  }

  get updates() {
    return Math.max(...this.runs.map((run) => run.last.update));
  }

  /** Runs everything again from the start. @param {number} steps @param {boolean} [keep] the picture where it is */
  restart(steps, keep = false) {
    this.runs = this.setup.runs.map((run) => new gdxEngine.Run(run, this.setup.world));
    for (const run of this.runs) for (let k = 0; k < steps; k++) if (!run.step()) break;
    if (!keep) this.look();
    this.controls();
    this.draw();
  }

  /** @param {number} count @param {boolean} [playing] stop where nothing new is to be seen @returns {boolean} whether it moved */
  advance(count, playing = false) {
    let moved = false;
    for (let k = 0; k < count; k++) {
      if (playing && this.settled) break;
      const went = this.runs.map((run) => run.step());
      if (!went.some(Boolean)) break;
      moved = true;
    }
    if (this.run.settings.rates.length) this.controls(); // the rate may be another one from here on
    this.draw();
    return moved;
  }

  back() {
    this.pause();
    const now = this.updates;
    for (const run of this.runs) if (run.last.update === now) run.back();
    this.controls();
    this.draw();
  }

  /** Plays until nothing new is to be seen; a run that is there already plays again from its start. */
  play() {
    if (this.playing) return this.pause();
    if (this.settled) this.restart(0);
    if (gdxUi.calm()) {
      this.advance(this.speed * 4, true);
      return undefined;
    }
    let before = performance.now();
    let owed = 0;
    /** @param {number} now */
    const frame = (now) => {
      owed += Math.max(0, Math.min(100, now - before)) * (this.speed / 1000);
      before = now;
      const whole = Math.floor(owed);
      owed -= whole;
      this.playing = requestAnimationFrame(frame);
      if (whole && (!this.advance(whole, true) || this.settled)) this.pause();
    };
    this.playing = requestAnimationFrame(frame);
    this.ui.play.textContent = "Pause";
    return undefined;
  }

  pause() {
    if (!this.playing) return;
    cancelAnimationFrame(this.playing);
    this.playing = 0;
    this.ui.play.textContent = "Play";
    this.draw();
  }

  // ---- Changing ------------------------------------------------------------------------------------------------------

  /** Takes one change made by hand: the run goes as far as it had gone. @param {Record<string, unknown>} change @param {boolean} [keep] */
  change(change, keep = true) {
    const steps = this.updates;
    if ("lr" in change && steps && !this.small && !this.ui.replay.checked) return this.changeRate(change.lr);
    const run = this.setup.runs[this.setup.active];
    if ("lr" in change) run.rates = [];
    if ("opt" in change) this.freeRoom();
    this.note(gdxSettings.apply(this.setup, change));
    this.restart(steps, keep);
    return undefined;
  }

  /** Changes the rate from the next update on. @param {unknown} value */
  changeRate(value) {
    try {
      const lr = gdxSettings.CHECKS.lr(value, 0);
      const { settings, last } = this.run;
      settings.rates = [...settings.rates.filter(([from]) => from < last.update), [last.update, lr]];
      this.note([]);
    } catch (error) {
      this.note([`${/** @type {Error} */ (error).message}. It was left as it is.`]);
    }
    this.controls();
    this.draw();
  }

  /** @param {(data: Pair[]) => Pair[]} edit @param {boolean} [keep] the picture where it is */
  edit(edit, keep = false) {
    const data = edit(this.setup.world.data.map((point) => /** @type {Pair} */ ([...point])));
    this.change({ data }, keep);
  }

  /** Takes two columns of text as the data, or says why not. @param {string} text */
  bring(text) {
    try {
      const { data, notes } = gdxSettings.table(text, this.ui.scale.checked);
      this.change({ data }, false);
      this.ui.made.textContent = [`${data.length} point${data.length > 1 ? "s" : ""} now.`, ...notes].join(" ");
    } catch (error) {
      this.ui.made.textContent = `${/** @type {Error} */ (error).message} The data was left as it is.`;
    }
  }

  /** @param {File | undefined} file */
  async bringFile(file) {
    if (!file) return;
    const large = file.size > gdxSettings.MAX_TEXT;
    this.ui.made.closest("details").open = true;
    if (large) this.ui.made.textContent = `A file must be at most ${gdxSettings.MAX_TEXT / 1e6} MB, not ${gdxUi.show(file.size / 1e6, 3)} MB. The data was left as it is.`;
    else this.bring(await file.text());
  }

  /** Takes a file that is dropped on the figure. @param {HTMLElement} card */
  welcome(card) {
    const held = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files");
    card.addEventListener("dragover", (event) => held(event) && event.preventDefault());
    card.addEventListener("drop", (event) => {
      if (!held(event)) return;
      event.preventDefault();
      this.bringFile(event.dataTransfer?.files[0]);
    });
  }

  /** @param {number} i */
  removePoint(i) {
    if (this.setup.world.data.length < 2) return this.note(["One point has to stay."]);
    this.edit((data) => data.filter((_, k) => k !== i));
    /** @type {any} */ (this.plots.fit.handles.lastElementChild)?.focus();
    return undefined;
  }

  /** @param {Pair} [at] */
  addPoint(at) {
    const { data } = this.setup.world;
    const { w, b } = this.run.last;
    const x = Math.max(...data.map((point) => point[0])) + 1;
    const calm = Math.abs(w * x + b) < 1e4 ? w * x + b : 0;
    const point = (at || [x, calm + 1]).map((v) => gdxUi.round(v, 2));
    this.edit((points) => [...points, /** @type {Pair} */ (point)]);
  }

  /** Keeps the run shown and adds another like it, to be changed. */
  compare() {
    const { setup } = this;
    if (setup.runs.length >= gdxSettings.MAX_RUNS) return;
    const steps = this.updates;
    const like = setup.runs[setup.active];
    const count = setup.world.data.length;
    const batch = [count, Math.max(1, Math.floor(count / 2)), 1].find((size) => !setup.runs.some((run) => run.opt === like.opt && run.batch === size));
    // When every kind of batch is there, another rule is worth seeing.
    const opt = batch ? like.opt : ["momentum", "adam", "sgd"].find((rule) => !setup.runs.some((run) => run.opt === rule));
    setup.runs.push({ ...like, opt: opt ?? like.opt, batch: batch ?? count, rates: [] });
    setup.active = setup.runs.length - 1;
    this.restart(steps, true);
  }

  /** @param {number} i */
  drop(i) {
    const steps = this.updates;
    this.setup.runs.splice(i, 1);
    this.setup.active = Math.min(this.setup.active - Number(i < this.setup.active), this.setup.runs.length - 1);
    this.restart(Math.max(steps, 0), true);
    this.ui.runs.querySelector("button")?.focus();
  }

  // ---- Building ------------------------------------------------------------------------------------------------------

  build() {
    const { h, button } = gdxUi;
    const { ui } = this;
    this.startHandle();
    ui.runs = h("div", { class: "gdx-runs", role: "group", "aria-label": "Runs" });
    ui.play = button("Play", () => this.play(), { class: "gdx-main" });
    ui.back = button("Step back", () => this.back());
    ui.count = h("output", { class: "gdx-count" });
    ui.speed = h("select", { "aria-label": "Speed of Play", onchange: () => (this.speed = Number(ui.speed.value)) },
      ...[["slow", 4], ["normal", 12], ["fast", 60], ["very fast", 240]].map(([name, v]) => h("option", { value: v, selected: v === 12 }, String(name))));
    ui.say = h("p", { class: "gdx-say", role: "status" });
    ui.notes = h("p", { class: "gdx-notes", role: "alert" });
    ui.equations = h("div", { class: "gdx-equations" });
    ui.badge = h("p", { class: "gdx-badge" });
    ui.reset = button("Reset", () => this.reset());
    const form = this.form();
    const extras = this.extras();
    const still = this.querySelectorAll(":scope > .gdx-static"); // the still figure is what is printed
    const label = { class: "gdx-card", role: "region", "aria-label": "Gradient-descent playground" };
    if (this.small) {
      this.replaceChildren(
        h("div", { ...label, class: "gdx-card gdx-small" },
          h("div", { class: "gdx-surface" }, this.plots.surface.svg), ui.rateField,
          h("div", { class: "gdx-bar" }, ui.play, ui.reset, ui.count), h("div", { class: "gdx-fit" }, this.plots.fit.svg), ui.say),
        ui.badge, ...still);
      return;
    }
    const zoom = h("div", { class: "gdx-zoom" },
      button("+", () => this.zoom(1 / 1.5), { "aria-label": "Zoom in" }), button("−", () => this.zoom(1.5), { "aria-label": "Zoom out" }));
    const edits = h("div", { class: "gdx-edits" },
      button("Add a point", () => this.addPoint()),
      button("Remove", () => this.removePoint(Math.min(this.plots.fit.chosen ?? 1e9, this.setup.world.data.length - 1)), { "aria-label": "Remove the point chosen last" }));
    this.replaceChildren(
      h("div", label,
        ui.runs,
        h("div", { class: "gdx-plots" },
          h("div", { class: "gdx-surface" }, this.plots.surface.svg, zoom),
          ui.rateField,
          h("div", { class: "gdx-bar" },
            ui.reset, ui.back, button("Step", () => this.step(1), { class: "gdx-main" }), ui.play, ui.speed, ui.count),
          h("div", { class: "gdx-fit" }, this.plots.fit.svg, edits),
          h("div", { class: "gdx-curve" }, this.plots.curve.svg)),
        ui.equations, ui.say, ui.notes, form, extras, ui.badge),
      ...still);
    this.welcome(/** @type {HTMLElement} */ (this.firstElementChild));
  }

  /** The handle of the start, on the surface. */
  startHandle() {
    const { surface } = this.plots;
    const { s } = gdxUi;
    this.ui.start = s("g", { tabindex: 0, role: "slider", class: "gdx-handle gdx-start", "aria-label": "Start", "aria-valuemin": -1e6, "aria-valuemax": 1e6 },
      s("circle", { r: 14, class: "gdx-hit" }), s("circle", { r: 7, class: "gdx-point" }));
    surface.handles.append(this.ui.start);
    gdxUi.movable(this.ui.start, {
      at: (event) => surface.at(event),
      now: () => [this.setup.world.w, this.setup.world.b],
      unit: () => [0.1, 0.1],
      grab: () => (this.held = true),
      move: ([w, b]) => this.change({ w: gdxUi.round(w, 3), b: gdxUi.round(b, 3) }),
      done: () => this.reframe(),
    });
  }

  /** The settings of the run shown. */
  form() {
    const { h, button, fresh } = gdxUi;
    const { ui } = this;
    /** @param {string} name @param {any} label @param {...(Node | string)} fields */
    const row = (name, label, ...fields) => {
      const id = fields[0] instanceof HTMLElement ? (fields[0].id ||= fresh()) : fresh();
      return h("div", { class: `gdx-field gdx-field-${name}` }, h("label", { for: id }, label), h("div", {}, ...fields));
    };
    /** @param {string} name @param {Record<string, any>} more */
    const numeric = (name, more = {}) => {
      const field = h("input", { type: "number", step: "any", name, ...more });
      field.addEventListener("change", () => this.change({ [name]: field.value }, name !== "w" && name !== "b"));
      return (ui[name] = field);
    };
    ui.opt = h("select", { name: "opt", onchange: () => this.change({ opt: ui.opt.value }) },
      ...Object.entries(gdxEngine.OPTIMIZERS).map(([key, { name }]) => h("option", { value: key }, name)));
    ui.batch = h("input", { type: "range", name: "batch", min: 1, step: 1, oninput: () => this.change({ batch: Number(ui.batch.value) }) });
    ui.batchName = h("output", {});
    const [slow, fast] = this.small ? [-2.3, -0.5] : [-4, 0.5]; // powers of ten
    ui.rate = h("input", { type: "range", min: slow, max: fast, step: 0.01, "aria-label": "Learning rate, log scale", oninput: () => this.change({ lr: Number((10 ** Number(ui.rate.value)).toPrecision(3)) }) });
    ui.limitMark = h("span", { class: "gdx-limit-mark", "aria-hidden": "true" }, this.small ? h("span", {}, "the limit") : "");
    ui.limit = h("p", { class: "gdx-limit" });
    ui.replay = h("input", { type: "checkbox", id: fresh() });
    ui.betaRange = h("input", { type: "range", min: 0, max: 0.99, step: 0.01, "aria-label": "Beta", oninput: () => this.change({ beta: Number(ui.betaRange.value) }) });
    ui.betaName = h("span", {}, "momentum β");
    ui.rateField = row("lr", "learning rate η", numeric("lr", { min: 0 }), h("span", { class: "gdx-slider" }, ui.rate, ui.limitMark), ui.limit,
      this.small ? "" : h("p", { class: "gdx-replay" }, ui.replay, h("label", { for: ui.replay.id }, "Start the run again when the rate changes")));
    const next = button("Next", () => this.change({ seed: (Number(ui.seed.value) + 1) % 2 ** 32 }), { "aria-label": "Next seed" });
    return h("form", { class: "gdx-form", "aria-label": "Settings of the run", onsubmit: (/** @type {Event} */ event) => event.preventDefault() },
      row("opt", "optimizer", ui.opt),
      row("batch", "batch size", ui.batch, ui.batchName),
      row("beta", ui.betaName, numeric("beta", { min: 0, max: 0.9999 }), ui.betaRange),
      h("div", { class: "gdx-pair" },
        row("start", "start w, b", numeric("w", { "aria-label": "Start weight w" }), numeric("b", { "aria-label": "Start bias b" })),
        row("seed", "seed", numeric("seed", { min: 0, step: 1 }), next)));
  }

  /** What can be taken away, and all the numbers. */
  extras() {
    const { h, button, fresh } = gdxUi;
    const { ui } = this;
    const id = fresh();
    ui.text = h("textarea", { id, rows: 5, spellcheck: "false" });
    ui.scale = h("input", { type: "checkbox", id: fresh() });
    ui.file = h("input", { type: "file", accept: ".csv,.tsv,.txt,text/csv,text/plain", "aria-label": "A CSV file", onchange: () => this.bringFile(ui.file.files[0]) });
    ui.made = h("p", { "aria-live": "polite" });
    ui.pre = h("pre", { tabindex: 0, "aria-label": "Keras code" });
    ui.head = h("tr", {}, ...gdxWords.COLUMNS.map((name) => h("th", { scope: "col" }, name)));
    ui.body = h("tbody");
    ui.table = h("details", { ontoggle: () => this.drawTable() }, h("summary", {}, "All numbers of this run"),
      h("div", { class: "gdx-table", tabindex: 0, role: "region", "aria-label": "All numbers of this run" }, h("table", {}, h("thead", {}, ui.head), ui.body)));
    ui.codeBox = h("details", { ontoggle: () => this.drawTable() }, h("summary", {}, "Keras code of this run"), ui.pre);
    return h("div", { class: "gdx-extras" },
      h("div", { class: "gdx-bar" },
        button("Copy Keras code", () => this.copyOut(this.code, "The Keras code", ui.codeBox)),
        button("Copy link", () => this.copyLink()),
        button("Download CSV", () => this.download())),
      ui.table,
      h("details", {}, h("summary", {}, "Your own data: paste it, or drop a CSV file on this figure"),
        h("label", { for: id }, "Two columns, x and y, a line for each point"), ui.text,
        h("p", { class: "gdx-replay" }, ui.scale, h("label", { for: ui.scale.id }, "Scale both columns to mean 0 and standard deviation 1")),
        h("div", { class: "gdx-bar" }, button("Use this data", () => this.bring(ui.text.value)), ui.file,
          button("Back to y = 2x", () => this.change({ data: gdxSettings.standard().world.data }, false))),
        ui.made),
      ui.codeBox);
  }

  // ---- Showing -------------------------------------------------------------------------------------------------------

  /** @param {number} by */
  zoom(by) {
    this.plots.surface.zoom *= by;
    this.reframe();
  }

  /** Measures the plots; draws them again if their size is another one. */
  fit() {
    const changed = Object.values(this.plots).map((plot) => plot.measure());
    if (changed.some(Boolean)) {
      this.freeRoom();
      this.reframe();
    }
  }

  reframe() {
    this.held = false;
    this.look();
    this.draw();
  }

  /** Chooses what part of each picture is shown. */
  look() {
    const { surface, fit } = this.plots;
    for (const plot of Object.values(this.plots)) plot.measure();
    surface.look(this.setup.world, this.runs);
    fit.look(this.setup.world.data);
    this.framed = null;
  }

  /** Draws what depends on the run. */
  draw() {
    const { surface, fit, curve } = this.plots;
    const { world, active } = this.setup;
    const count = world.data.length;
    if (!this.held && surface.look(world, this.runs)) this.framed = null;
    if (this.framed !== world) {
      this.framed = world;
      surface.frame(world);
      fit.frame();
    }
    const shown = this.runs.map((run, i) => ({ run, kind: gdxPlots.kindOf(run.settings, count), mark: i }));
    surface.update(world, shown, active);
    fit.update(world, shown, active);
    curve.update(shown);
    gdxUi.set(this.ui.start, {
      transform: `translate(${surface.x(world.w)} ${surface.y(world.b)})`,
      "aria-valuenow": world.w,
      "aria-valuetext": `w ${gdxUi.show(world.w)}, b ${gdxUi.show(world.b)}`,
    });
    this.ui.count.value = `update ${this.updates}`;
    this.ui.back.disabled = this.updates === 0;
    this.spell();
    this.say();
    this.drawTable();
    this.remember();
  }

  /** The update just made (or, at the start, the first one), written out. */
  spell() {
    const { h, show } = gdxUi;
    const { run } = this;
    const at = run.last.update;
    const [before, row] = at ? [run.rows[at - 1], run.last] : [run.last, run.next()];
    const batch = row.batch.map((i) => i + 1).sort((a, b) => a - b);
    const all = batch.length === this.setup.world.data.length;
    const points = all ? `all ${batch.length} points` : `point${batch.length > 1 ? "s" : ""} ${batch.length > 12 ? `${batch.slice(0, 12).join(", ")}, …` : batch.join(", ")}`;
    const block = (/** @type {0 | 1} */ i) => h("div", {},
      h("p", {}, h("span", { class: "gdx-formula" }, `g = ∂L/∂${"wb"[i]}`), ` = ${show(/** @type {number} */ (i ? row.gradB : row.gradW), 6)}`),
      ...gdxWords.equations(run.settings.opt, run.settings.beta, before, row, i).map(([formula, numbers]) => h("p", {}, h("span", { class: "gdx-formula" }, formula), h("span", {}, ` = ${numbers}`))));
    this.ui.equations.replaceChildren(
      h("p", { class: "gdx-what" }, h("b", {}, at ? `Update ${row.update}` : "The first update"), ` ${at ? "used" : "will use"} ${points}; loss of the batch ${show(row.batchLoss ?? 0)}`),
      block(0), block(1));
  }

  /** Keeps the room that the words once needed: a line that comes and goes would move what is below it. */
  keepRoom() {
    const boxes = [this.ui.equations, this.ui.say];
    const heights = boxes.map((box) => box.offsetHeight);
    boxes.forEach((box, i) => (box.style.minHeight = `${heights[i]}px`));
  }

  /** Lets go of that room, where other words come. */
  freeRoom() {
    for (const box of [this.ui.equations, this.ui.say]) box.style.minHeight = "";
  }

  /** Says in words where the run is, at every frame; it is read aloud when something was done, not while a run plays. */
  say() {
    const { last } = this.run;
    const { show } = gdxUi;
    this.ui.say.setAttribute("aria-live", this.playing ? "off" : "polite");
    this.ui.say.textContent = `${this.playing ? "Playing. " : ""}Update ${last.update}: w = ${show(last.w)}, b = ${show(last.b)}, loss ${show(last.loss)}. ${gdxWords.verdict(this.run)}`;
    this.keepRoom();
  }

  /** @param {string[]} notes */
  note(notes) {
    this.ui.notes.textContent = notes.slice(0, 4).join(" ");
  }

  drawTable() {
    const { h } = gdxUi;
    const { body } = this.ui;
    if (this.ui.table.open) { // while a run plays, only its new rows are written
      const { rows } = this.run;
      if (this.tabled !== this.run) body.replaceChildren();
      this.tabled = this.run;
      while (body.children.length > rows.length) body.lastElementChild.remove();
      for (const row of rows.slice(body.children.length)) body.append(h("tr", {}, ...gdxWords.cells(row).map((cell) => h("td", {}, cell))));
    }
    if (this.ui.codeBox.open) this.ui.pre.textContent = this.code;
  }

  /** Sets the controls to the run shown. */
  controls() {
    const { h, show } = gdxUi;
    const { ui, setup } = this;
    const { world, runs, active } = setup;
    const { settings } = this.run;
    const count = world.data.length;
    const rate = this.run.rateAt(this.run.last.update + 1);
    ui.opt.value = settings.opt;
    ui.batch.max = String(count);
    ui.batch.value = String(settings.batch);
    ui.batch.disabled = count === 1;
    ui.batchName.value = `${settings.batch} of ${count}: ${gdxWords.variant(settings.batch, count)}`;
    ui.batch.setAttribute("aria-valuetext", ui.batchName.value);
    ui.lr.value = String(rate);
    ui.rate.value = String(Math.log10(rate));
    ui.rate.setAttribute("aria-valuetext", show(rate));
    const { beta } = gdxEngine.OPTIMIZERS[settings.opt];
    ui.beta.value = String(settings.beta);
    ui.betaRange.value = String(settings.beta);
    ui.beta.disabled = ui.betaRange.disabled = !beta;
    ui.betaName.textContent = { momentum: "momentum β", rho: "decay ρ", beta_1: "decay β₁" }[beta] || "momentum β";
    for (const name of /** @type {const} */ (["w", "b"])) ui[name].value = String(world[name]);
    ui.seed.value = String(settings.seed);
    ui.text.value = world.data.map((point) => point.join(", ")).join("\n");
    const limit = gdxEngine.stableRate(settings.opt, settings.beta, gdxEngine.bowl(world.data).curvature[0]);
    ui.limit.textContent = limit === null
      ? "This rule divides by the gradient’s size: 2/λ does not bound its rate."
      : `Stability limit${settings.batch < count ? " of the full batch" : ""} ${{ sgd: "2/λ", momentum: "2(1 + β)/λ", nesterov: "2(1 + β)/((1 + 2β)λ)" }[settings.opt]} = ${show(limit)}: the rate is ${rate < limit ? "below" : "above"} it.`;
    ui.limit.classList.toggle("gdx-above", limit !== null && rate >= limit);
    ui.limitMark.hidden = limit === null;
    if (limit !== null) ui.limitMark.style.setProperty("--at", String(Math.max(0, Math.min(1, (Math.log10(limit) - Number(ui.rate.min)) / (ui.rate.max - ui.rate.min)))));
    const held = document.activeElement;
    const place = held && ui.runs.contains(held) ? [...ui.runs.querySelectorAll("button")].indexOf(/** @type {any} */ (held)) : -1;
    ui.runs.replaceChildren(
      ...runs.map((run, i) => h("span", { class: `gdx-chip gdx-${gdxPlots.kindOf(run, count)} gdx-dash${i}` },
        h("button", { type: "button", "aria-pressed": String(i === active), onclick: () => this.choose(i) }, swatch(i), gdxWords.name(run, count)),
        runs.length > 1 ? h("button", { type: "button", "aria-label": `Remove run ${i + 1}`, onclick: () => this.drop(i) }, "×") : null)),
      h("button", { type: "button", class: "gdx-add", onclick: () => this.compare(), disabled: runs.length >= gdxSettings.MAX_RUNS }, "+ Compare with another run"));
    if (place >= 0) /** @type {any} */ ([...ui.runs.querySelectorAll("button")][place])?.focus();

    /** @param {number} i */
    function swatch(i) {
      const { s } = gdxUi;
      return s("svg", { viewBox: "0 0 34 14", "aria-hidden": "true" }, s("path", { d: "M0 7H34", class: "gdx-line" }), s("path", { d: gdxPlots.MARKS[i], transform: "translate(17 7)", class: "gdx-tip" }));
    }
  }

  /** @param {number} i */
  choose(i) {
    this.setup.active = i;
    this.controls();
    this.draw();
  }

  // ---- Taking it away ------------------------------------------------------------------------------------------------

  /** @param {string} text @param {string} what @param {HTMLDetailsElement} [box] */
  async copyOut(text, what, box) {
    const done = await gdxUi.copy(text);
    if (!done && box) box.open = true;
    this.ui.say.textContent = done ? `${what} is in the clipboard.` : `The browser keeps its clipboard closed here. ${box ? "The text is below." : text}`;
  }

  copyLink() {
    const link = `${location.href.split("#")[0]}#${this.state()}`;
    return this.copyOut(link, "The link");
  }

  download() {
    const url = URL.createObjectURL(new Blob([gdxWords.csv(this.runs)], { type: "text/csv" }));
    const link = gdxUi.h("a", { href: url, download: "gradient-descent.csv" });
    link.click();
    setTimeout(() => URL.revokeObjectURL(url), 1000);
  }

  /** Runs again here what Keras ran while the site was built, and says how far the two are apart. */
  badge() {
    const given = gdxUi.payload();
    if (!given) return;
    /** @type {number[][]} */ const pairs = [];
    for (const { settings, at, path } of given.runs) {
      const { w, b, data, ...run } = settings;
      const again = new gdxEngine.Run({ ...run, rates: [] }, { w, b, data });
      while (again.last.update < at[at.length - 1] && again.step());
      at.forEach((/** @type {number} */ update, /** @type {number} */ k) => {
        const row = again.rows[update] || { w: NaN, b: NaN };
        pairs.push([row.w, path[k][0]], [row.b, path[k][1]]);
      });
    }
    const largest = gdxUi.apart(pairs);
    gdxUi.judge(this.ui.badge, largest <= 1e-9,
      `equal to Keras ${given.keras}: ${given.runs.length} runs replayed in this page, largest difference ${gdxUi.show(largest, 3)}`);
  }
}

customElements.define("gdx-playground", GdxPlayground);
