// The three pictures of a run, and what they share: a frame whose units are pixels at every width.

/** @typedef {{run: InstanceType<typeof gdxEngine.Run>, kind: string, mark: number}} Shown */

const gdxPlots = (() => {
  const { s, set, show, ticks, raised } = gdxUi;
  const MARKS = ["M-5 0a5 5 0 1 0 10 0a5 5 0 1 0-10 0Z", "M-4.5-4.5h9v9h-9Z", "M0-6L5.5 4.5h-11Z", "M0-6.5L5.5 0L0 6.5L-5.5 0Z"];

  /** @param {number} pixels kept where SVG can still draw it */
  const near = (pixels) => Math.round(Math.max(-3e4, Math.min(3e4, pixels)) * 100) / 100;

  /** @param {RunSettings} run @param {number} count @returns {string} which colour a run has, the same on every page */
  function kindOf(run, count) {
    if (run.opt.startsWith("adam")) return "adam";
    if (run.opt === "momentum" || run.opt === "nesterov") return "momentum";
    if (run.opt !== "sgd") return "scaled";
    return run.batch === count ? "batch" : run.batch === 1 ? "stochastic" : "minibatch";
  }

  /** A frame with two axes. It is drawn again when its width changes, so that type and marks keep their size. */
  class Plot {
    /** @param {string} name @param {string} xName @param {string} yName */
    constructor(name, xName, yName) {
      this.names = [xName, yName];
      this.width = 0;
      this.height = 0;
      /** @type {Pair} */ this.xs = [0, 1];
      /** @type {Pair} */ this.ys = [0, 1];
      this.edge = { left: 42, right: 8, top: 8, bottom: 30 };
      const id = gdxUi.fresh();
      this.box = s("rect");
      this.under = s("g", { "clip-path": `url(#${id})` });
      this.inside = s("g", { "clip-path": `url(#${id})` });
      this.axes = s("g", { class: "gdx-axes", "aria-hidden": "true" });
      this.handles = s("g");
      this.svg = s("svg", { role: "group", "aria-label": name });
      this.svg.append(s("clipPath", { id }, this.box), this.under, this.axes, this.inside, this.handles);
    }

    /** @returns {boolean} whether the size is another one than before */
    measure() {
      const { width, height } = this.svg.getBoundingClientRect();
      if (width === this.width && height === this.height) return false;
      this.width = width;
      this.height = height;
      set(this.svg, { viewBox: `0 0 ${width} ${height}` });
      const { left, right, top, bottom } = this.edge;
      set(this.box, { x: left, y: top, width: Math.max(0, width - left - right), height: Math.max(0, height - top - bottom) });
      return true;
    }

    get inner() {
      const { left, right, top, bottom } = this.edge;
      return [Math.max(1, this.width - left - right), Math.max(1, this.height - top - bottom)];
    }

    /** @param {Pair} xs @param {Pair} ys */
    window(xs, ys) {
      this.xs = xs;
      this.ys = ys;
    }

    /** @param {number} v */
    x(v) {
      return near(this.edge.left + ((v - this.xs[0]) / (this.xs[1] - this.xs[0])) * this.inner[0]);
    }

    /** @param {number} v */
    y(v) {
      return near(this.edge.top + (1 - (v - this.ys[0]) / (this.ys[1] - this.ys[0])) * this.inner[1]);
    }

    /** @param {MouseEvent} event @returns {Pair} where it is in the plot's own units */
    at(event) {
      const box = this.svg.getBoundingClientRect();
      const across = (event.clientX - box.left - this.edge.left) / this.inner[0];
      const up = 1 - (event.clientY - box.top - this.edge.top) / this.inner[1];
      return [this.xs[0] + across * (this.xs[1] - this.xs[0]), this.ys[0] + up * (this.ys[1] - this.ys[0])];
    }

    /** @param {(v: number) => string} [yText] @param {number[]} [yTicks] */
    drawAxes(yText, yTicks) {
      const { left, top } = this.edge;
      const [width, height] = this.inner;
      const parts = [];
      // Far out, or close by, the numbers at an axis are multiples of a power of ten, which its name says.
      const powers = [this.xs, this.ys].map((ends) => Math.floor(Math.log10(Math.max(...ends.map(Math.abs))))).map((k) => (k > 3 || k < -2 ? k : 0));
      const names = this.names.map((name, i) => (powers[i] ? `${name} / 10${raised(powers[i])}` : name));
      for (const v of ticks(this.xs[0], this.xs[1], Math.max(2, width / 70))) {
        const x = this.x(v);
        parts.push(s("line", { x1: x, x2: x, y1: top + height, y2: top + height + 4 }));
        const text = show(v / 10 ** powers[0]);
        const half = 3.3 * text.length; // a name at an end stays in the picture
        parts.push(s("text", { x: Math.max(half, Math.min(this.width - half, x)), y: top + height + 15, "text-anchor": "middle" }, text));
      }
      for (const v of yTicks || ticks(this.ys[0], this.ys[1], Math.max(2, height / 36))) {
        const y = this.y(v);
        parts.push(s("line", { x1: left - 4, x2: left, y1: y, y2: y }));
        parts.push(s("text", { x: left - 7, y: y + 4, "text-anchor": "end" }, yText ? yText(v) : show(v / 10 ** powers[1])));
      }
      parts.push(s("path", { d: `M${left} ${top}v${height}h${width}`, fill: "none" }));
      parts.push(s("text", { class: "gdx-name", x: left + width, y: top + height + 27, "text-anchor": "end" }, names[0]));
      parts.push(s("text", { class: "gdx-name", x: left + 6, y: top + 12 }, names[1]));
      this.axes.replaceChildren(...parts);
    }
  }

  /** One line that grows: a path that is only added to as long as the picture stays where it is. */
  class Trail {
    /** @param {Plot} plot @param {(row: Row) => Pair | null} point */
    constructor(plot, point) {
      this.plot = plot;
      this.point = point;
      this.line = s("path", { class: "gdx-line" });
      this.dots = s("path", { class: "gdx-dots" });
      this.tip = s("path", { class: "gdx-tip" });
      this.group = s("g", {}, this.line, this.dots, this.tip);
      this.key = "";
      this.done = 0;
      this.d = "";
      this.spots = "";
      this.end = "";
      this.old = [0, 0];
    }

    /** @param {Shown} shown */
    draw({ run, kind, mark }) {
      const { plot } = this;
      const key = [plot.width, plot.height, ...plot.xs, ...plot.ys].join();
      if (key !== this.key || this.run !== run || this.done > run.rows.length) {
        this.key = key;
        this.run = run;
        this.done = 0;
        this.d = this.spots = "";
        set(this.group, { class: `gdx-${kind} gdx-dash${mark}` });
        set(this.tip, { d: MARKS[mark] });
      }
      for (; this.done < run.rows.length; this.done++) {
        const place = this.point(run.rows[this.done]);
        if (!place) continue;
        const [x, y] = [plot.x(place[0]), plot.y(place[1])];
        const at = `${x} ${y}`;
        this.end = at;
        // What is not half a pixel away would only make the line slow to draw.
        if (this.d && Math.abs(x - this.old[0]) < 0.5 && Math.abs(y - this.old[1]) < 0.5) continue;
        this.old = [x, y];
        this.d += `${this.d ? "L" : "M"}${at}`;
        if (this.done < 150) this.spots += `M${at}h0`;
      }
      set(this.line, { d: this.d });
      set(this.dots, { d: this.spots });
      set(this.tip, { transform: `translate(${this.d ? this.end : "-99 -99"})` });
    }
  }

  /** @param {SVGElement} layer @param {Trail[]} trails @param {Shown[]} shown @param {() => Trail} make */
  function drawTrails(layer, trails, shown, make) {
    while (trails.length < shown.length) trails.push(make());
    while (trails.length > shown.length) trails.pop()?.group.remove();
    shown.forEach((one, i) => {
      if (trails[i].group.parentNode !== layer) layer.append(trails[i].group);
      trails[i].draw(one);
    });
  }

  /** The loss over (w, b), its contours exact: ellipses, or parallel lines where only one x is in play. */
  class Surface extends Plot {
    constructor() {
      super("Loss over weight w and bias b", "weight w", "bias b");
      this.zoom = 1;
      /** @type {Trail[]} */ this.trails = [];
      this.contours = s("g", { class: "gdx-contours" });
      this.batch = s("g", { class: "gdx-batch-contours" });
      this.cross = s("path", { d: "M-6-6L6 6M-6 6L6-6", class: "gdx-minimum" });
      this.under.append(this.contours, this.batch);
      this.inside.append(this.cross);
    }

    /**
     * Puts the bottom, the start and the paths in the picture, with one scale for both axes. A path that leaves is followed
     * in steps, so that the picture does not move at every update.
     * @param {World} world @param {InstanceType<typeof gdxEngine.Run>[]} runs @returns {boolean} whether it moved
     */
    look(world, runs) {
      const [cw, cb] = gdxEngine.bowl(world.data).centre;
      const [width, height] = this.inner;
      const far = (/** @type {{w: number, b: number}} */ { w, b }) => Math.max(Math.abs(w - cw), (Math.abs(b - cb) * width) / height);
      const least = Math.max(1.3 * far(world), 0.6);
      let reach = least;
      for (const run of runs) for (const row of run.rows) reach = Math.max(reach, 1.06 * far(row));
      const halfW = this.zoom * least * 1.25 ** Math.ceil(Math.log(reach / least) / Math.log(1.25) - 1e-9);
      const halfB = (halfW * height) / width;
      const before = [...this.xs, ...this.ys].join();
      this.window([cw - halfW, cw + halfW], [cb - halfB, cb + halfB]);
      return before !== [...this.xs, ...this.ys].join();
    }

    /** The losses that have a contour, two a decade as far as the picture reaches. @param {Bowl} bowl @returns {number[]} */
    levels(bowl) {
      const far = Math.hypot(this.xs[1] - this.xs[0], this.ys[1] - this.ys[0]);
      const found = [];
      const top = Math.min(1e300, bowl.curvature[0] * far * far + bowl.least);
      for (let level = 1e-3; level < top; level *= 10) found.push(level, 3 * level);
      return found.filter((level) => level > bowl.least * 1.02).map((level) => Number(level.toPrecision(1)));
    }

    /** @param {SVGGElement} layer @param {Bowl} bowl @param {boolean} full */
    drawBowl(layer, bowl, full) {
      const [w, b] = bowl.centre;
      const [u, v] = bowl.axes;
      const px = this.inner[0] / (this.xs[1] - this.xs[0]);
      const py = -this.inner[1] / (this.ys[1] - this.ys[0]);
      const far = 4 * Math.hypot(this.xs[1] - this.xs[0], this.ys[1] - this.ys[0]);
      const flat = bowl.curvature[1] <= 1e-9 * bowl.curvature[0];
      const parts = [];
      // A batch's own are fewer: they lie over the others.
      for (const level of this.levels(bowl).filter((l) => full || (l >= 1 && String(l)[0] === "1")).reverse()) {
        const height = 2 * (level - bowl.least);
        const a = Math.sqrt(height / bowl.curvature[0]);
        const c = flat ? far : Math.sqrt(height / bowl.curvature[1]);
        if (a > far) continue;
        if (a * Math.abs(px) < 3 && !flat) break;
        // The unit circle, or two unit lines, carried to where the level lies.
        const matrix = [u[0] * a * px, u[1] * a * py, v[0] * c * px, v[1] * c * py, this.x(w), this.y(b)];
        const d = flat ? "M-1-1V1M1-1V1" : "M-1 0A1 1 0 1 1 1 0A1 1 0 1 1-1 0Z";
        const drawn = s("path", { d, transform: `matrix(${matrix.join(" ")})`, "vector-effect": "non-scaling-stroke" });
        if (full && flat) set(drawn, { d: "M-1-1V1H1V-1Z" });
        parts.push(drawn);
      }
      if (flat && !full) {
        const matrix = [u[0] * px, u[1] * py, v[0] * far * px, v[1] * far * py, this.x(w), this.y(b)];
        parts.push(s("path", { d: "M0-1V1", class: "gdx-valley", transform: `matrix(${matrix.join(" ")})`, "vector-effect": "non-scaling-stroke" }));
      }
      if (full) parts.push(...this.levelNames(bowl));
      layer.replaceChildren(...parts);
    }

    /** @param {Bowl} bowl the contours' values, where each crosses a line to the right of the bottom */
    levelNames(bowl) {
      const [w, b] = bowl.centre;
      const curve = bowl.axes[0][0] ** 2 * bowl.curvature[0] + bowl.axes[1][0] ** 2 * bowl.curvature[1];
      const names = [];
      let last = 0;
      for (const level of this.levels(bowl)) {
        const x = this.x(w + Math.sqrt((2 * (level - bowl.least)) / curve));
        const text = show(level);
        const half = 3.3 * text.length;
        if (x - half - last < 14 || x - this.x(w) < 22 || x > this.width - half - 10) continue;
        last = x + half;
        names.push(s("text", { x, y: this.y(b) + 4, "text-anchor": "middle" }, text));
      }
      return names;
    }

    /** @param {World} world */
    frame(world) {
      this.drawAxes();
      const bowl = gdxEngine.bowl(world.data);
      this.drawBowl(this.contours, bowl, true);
      set(this.cross, { transform: `translate(${this.x(bowl.centre[0])} ${this.y(bowl.centre[1])})` });
    }

    /** @param {World} world @param {Shown[]} shown @param {number} active */
    update(world, shown, active) {
      drawTrails(this.inside, this.trails, shown, () => new Trail(this, (row) => [row.w, row.b]));
      if (active < 0) return;
      const { run, kind } = shown[active];
      const batch = run.last.update ? run.last.batch : run.order(0);
      set(this.batch, { class: `gdx-batch-contours gdx-${kind}` });
      if (batch.length < world.data.length) this.drawBowl(this.batch, gdxEngine.bowl(world.data, batch), false);
      else this.batch.replaceChildren();
    }
  }

  /** The loss of all the data at every update, on a log scale. */
  class Curve extends Plot {
    constructor() {
      super("Loss against updates, log scale", "update", "loss");
      this.key = "";
      /** @type {Trail[]} */ this.trails = [];
    }

    /** @param {Shown[]} shown */
    update(shown) {
      let low = Infinity;
      let high = -Infinity;
      let updates = 10;
      for (const { run } of shown) {
        updates = Math.max(updates, run.rows.length - 1);
        for (const { loss } of run.rows) {
          if (loss <= 0) continue; // a log axis has no 0: the curve has a gap there
          low = Math.min(low, loss);
          high = Math.max(high, loss);
        }
      }
      if (high < low) low = high = 1;
      const power = 10 ** Math.floor(Math.log10(updates));
      const right = [1, 2, 5, 10].map((m) => m * power).find((m) => m >= updates) || updates;
      const top = Math.ceil(Math.log10(high) + 0.05);
      const bottom = Math.min(Math.floor(Math.log10(low)), top - 2);
      const key = [right, bottom, top, this.width, this.height].join();
      if (key !== this.key) {
        this.key = key;
        this.window([0, right], [bottom, top]);
        const every = Math.ceil((top - bottom) / 4);
        const decades = [];
        for (let k = Math.ceil(bottom / every) * every; k <= top; k += every) decades.push(k);
        this.drawAxes((k) => (k === 0 ? "1" : k === 1 ? "10" : `10${raised(k)}`), decades);
      }
      drawTrails(this.inside, this.trails, shown, () =>
        new Trail(this, (row) => (row.loss > 0 ? [row.update, Math.log10(row.loss)] : null)));
    }
  }

  /** The data with the line of every run; the points are handles. */
  class Fit extends Plot {
    /** @param {{grab: () => void, move: (i: number, to: Pair) => void, done: () => void, remove: (i: number) => void, add: (at: Pair) => void}} edit */
    constructor(edit) {
      super("Data and fitted line. Points can be dragged, or moved with the arrow keys.", "x", "y");
      this.edit = edit;
      this.errors = s("g", { class: "gdx-errors" });
      this.lines = s("g");
      this.inside.append(this.errors, this.lines);
      this.svg.addEventListener("dblclick", (event) => edit.add(this.at(event)));
      /** @type {Pair[]} */ this.data = [];
    }

    /** @param {Pair[]} data */
    look(data) {
      const room = (/** @type {number[]} */ v) => {
        const low = Math.min(...v);
        const high = Math.max(...v);
        const margin = Math.max((high - low) * 0.25, high === low ? 1 : 0);
        return /** @type {Pair} */ ([low - margin, high + margin]);
      };
      this.window(room(data.map((p) => p[0])), room(data.map((p) => p[1])));
    }

    frame() {
      this.drawAxes();
    }

    /** @param {number} i */
    handle(i) {
      const group = s("g", { tabindex: 0, role: "slider", class: "gdx-handle", "aria-valuemin": -1e6, "aria-valuemax": 1e6 });
      group.append(s("circle", { r: 13, class: "gdx-hit" }), s("circle", { r: 5, class: "gdx-point" }));
      gdxUi.movable(group, {
        at: (event) => this.at(event),
        now: () => this.data[i],
        unit: () => [0.1, 0.1],
        grab: () => this.edit.grab(),
        move: (to) => this.edit.move(i, to),
        done: () => this.edit.done(),
      });
      group.addEventListener("keydown", (event) => {
        if (event.key !== "Delete" && event.key !== "Backspace") return;
        event.preventDefault();
        this.edit.remove(i);
      });
      group.addEventListener("focus", () => (this.chosen = i));
      return group;
    }

    /** @param {World} world @param {Shown[]} shown @param {number} active */
    update(world, shown, active) {
      const { data } = world;
      this.data = data;
      while (this.handles.childElementCount < data.length) this.handles.append(this.handle(this.handles.childElementCount));
      while (this.handles.childElementCount > data.length) this.handles.lastElementChild?.remove();
      const { run, kind } = shown[active];
      const batch = new Set(run.last.update ? run.last.batch : run.order(0));
      const { w, b } = run.last;
      this.errors.setAttribute("class", `gdx-errors gdx-${kind}`);
      this.errors.replaceChildren(...[...batch].map((row) => {
        const [x, y] = data[row];
        return s("line", { x1: this.x(x), x2: this.x(x), y1: this.y(y), y2: this.y(w * x + b) });
      }));
      data.forEach(([x, y], i) => {
        const group = this.handles.children[i];
        const used = batch.has(i);
        set(group, {
          transform: `translate(${this.x(x)} ${this.y(y)})`,
          class: `gdx-handle gdx-${kind}${used ? " gdx-used" : ""}`,
          "aria-label": `Point ${i + 1}`,
          "aria-valuenow": y,
          "aria-valuetext": `x ${show(x)}, y ${show(y)}${used ? ", in this batch" : ""}`,
        });
      });
      this.lines.replaceChildren(...shown.map(({ run: { last }, kind: colour, mark }) => {
        const [from, to] = this.xs;
        const d = `M${this.x(from)} ${this.y(last.w * from + last.b)}L${this.x(to)} ${this.y(last.w * to + last.b)}`;
        return s("path", { d, class: `gdx-line gdx-${colour} gdx-dash${mark}` });
      }));
    }
  }

  return Object.freeze({ Plot, Surface, Curve, Fit, MARKS, kindOf });
})();
