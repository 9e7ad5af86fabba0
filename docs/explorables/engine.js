// The arithmetic of the explorables: one linear neuron, seven optimizers, NumPy's shuffling. No page, no drawing.
//
// Everything is float64, and equals float64 Keras. Keras passes a few hyperparameters through float32 even then: the
// learning rate, SGD's momentum, the betas of Adam's bias correction, AdamW's decay. `f32` stands exactly there.

/** @typedef {[number, number]} Pair */
/** @typedef {{opt: string, batch: number, lr: number, beta: number, seed: number, rates: Pair[]}} RunSettings */
/** @typedef {{w: number, b: number, data: Pair[]}} World */
/** @typedef {{m: Pair, v: Pair}} Memory */
/**
 * A row of the record. Its w, b and loss (of all the data) are those after update number `update`; its batch, the
 * batch's loss and the gradient are what that update used. The start, update 0, used nothing.
 * @typedef {{update: number, w: number, b: number, loss: number, gradW: number | null, gradB: number | null,
 *   batch: number[], batchLoss: number | null, lr: number, memory: Memory}} Row
 */
/** @typedef {{centre: Pair, axes: [Pair, Pair], curvature: Pair, least: number}} Bowl */

const gdxEngine = (() => {
  const f32 = Math.fround;
  const EPSILON = 1e-7;
  const BETA_2 = 0.999;
  const DECAY = 0.004;
  const MAX_UPDATES = 5000;

  /**
   * One parameter's update, as Keras makes it; `s` is the optimizer's memory, `k` counts updates from 1.
   * @typedef {(p: number, g: number, i: 0 | 1, s: Memory, lr: number, beta: number, k: number) => number} Rule
   */
  /** @type {Rule} */
  const adam = (p, g, i, s, lr, beta, k) => {
    const alpha = (lr * Math.sqrt(1 - f32(BETA_2) ** k)) / (1 - f32(beta) ** k);
    s.m[i] += (g - s.m[i]) * (1 - beta);
    s.v[i] += (g * g - s.v[i]) * (1 - BETA_2);
    return p - (s.m[i] * alpha) / (Math.sqrt(s.v[i]) + EPSILON);
  };

  /** @type {Record<string, {name: string, keras: string, beta: string, rule: Rule}>} */
  const OPTIMIZERS = {
    sgd: { name: "SGD", keras: "SGD", beta: "", rule: (p, g, _i, _s, lr) => p - g * lr },
    momentum: {
      name: "Momentum", keras: "SGD", beta: "momentum",
      rule: (p, g, i, s, lr, beta) => p + (s.m[i] = s.m[i] * f32(beta) - g * lr),
    },
    nesterov: {
      name: "Nesterov", keras: "SGD", beta: "momentum",
      rule(p, g, i, s, lr, beta) {
        s.m[i] = s.m[i] * f32(beta) - g * lr;
        return p + (s.m[i] * f32(beta) - g * lr);
      },
    },
    adagrad: {
      name: "AdaGrad", keras: "Adagrad", beta: "",
      rule: (p, g, i, s, lr) => p - (lr * g) / Math.sqrt((s.v[i] += g * g) + EPSILON),
    },
    rmsprop: {
      name: "RMSprop", keras: "RMSprop", beta: "rho",
      rule(p, g, i, s, lr, beta) {
        s.v[i] = beta * s.v[i] + (1 - beta) * (g * g);
        return p - (lr * g) / Math.sqrt(s.v[i] + EPSILON);
      },
    },
    adam: { name: "Adam", keras: "Adam", beta: "beta_1", rule: adam },
    adamw: {
      name: "AdamW", keras: "AdamW", beta: "beta_1",
      rule: (p, g, i, s, lr, beta, k) => adam(p - p * f32(DECAY) * lr, g, i, s, lr, beta, k),
    },
  };

  // ---- NumPy's default_rng(seed).permutation(n), so that a seed means here what it means in the package --------------

  /** @param {number} seed @returns {() => number} the next uint32 of NumPy's PCG64 */
  function pcg64(seed) {
    const mul = Math.imul;
    const M64 = (1n << 64n) - 1n;
    const M128 = (1n << 128n) - 1n;
    const STEP = 0x2360ed051fc65da44385df649fccf645n;
    let a = 0x43b0d7e5;
    /** @param {number} value */
    const hash = (value) => {
      value ^= a;
      a = mul(a, 0x931e8875);
      value = mul(value, a);
      return value ^ (value >>> 16);
    };
    const pool = [seed, 0, 0, 0].map(hash);
    for (let from = 0; from < 4; from++) {
      for (let to = 0; to < 4; to++) {
        if (from === to) continue;
        const mixed = mul(0xca01f9dd, pool[to]) - mul(0x4973f715, hash(pool[from]));
        pool[to] = (mixed ^ ((mixed >>> 0) >>> 16)) | 0;
      }
    }
    let b = 0x8b51f9dd;
    const words = Array.from({ length: 8 }, (_, i) => {
      let value = pool[i % 4] ^ b;
      b = mul(b, 0x58f38ded);
      value = mul(value, b);
      return BigInt((value ^ (value >>> 16)) >>> 0);
    });
    /** @param {number} i */
    const wide = (i) => (((words[i + 1] << 32n) | words[i]) << 64n) | (words[i + 3] << 32n) | words[i + 2];
    const increment = ((wide(4) << 1n) | 1n) & M128;
    let state = ((increment + wide(0)) * STEP + increment) & M128;
    /** @type {number | null} */
    let spare = null;
    return () => {
      if (spare !== null) {
        const kept = spare;
        spare = null;
        return kept;
      }
      state = (state * STEP + increment) & M128;
      const folded = ((state >> 64n) ^ state) & M64;
      const turn = state >> 122n;
      const out = ((folded >> turn) | (folded << (64n - turn))) & M64;
      spare = Number(out >> 32n);
      return Number(out & 0xffffffffn);
    };
  }

  /** @param {() => number} next @param {number} top @returns {number} a whole number from 0 to top, as NumPy shuffles */
  function below(next, top) {
    const mask = 2 ** (32 - Math.clz32(top)) - 1;
    for (;;) {
      const value = next() & mask;
      if (value <= top) return value;
    }
  }

  /**
   * Says which rows each update uses: every row once an epoch, in a new order; `gdexplain.batch_order` in the page.
   * @param {number} n @param {number} size @param {number} seed @returns {(update: number) => number[]}
   */
  function batchOrder(n, size, seed) {
    const next = pcg64(seed);
    /** @type {number[][]} */
    const batches = [];
    return (update) => {
      while (batches.length <= update) {
        const rows = Array.from({ length: n }, (_, i) => i);
        for (let i = n - 1; i > 0; i--) {
          const j = below(next, i);
          [rows[i], rows[j]] = [rows[j], rows[i]];
        }
        for (let first = 0; first < n; first += size) batches.push(rows.slice(first, first + size));
      }
      return batches[update];
    };
  }

  // ---- The loss ------------------------------------------------------------------------------------------------------

  /**
   * Mean squared error of w x + b on some rows, and its gradient.
   * @param {Pair[]} data @param {number} w @param {number} b @param {number[]} [rows]
   * @returns {{loss: number, gradW: number, gradB: number}}
   */
  function lossAndGradient(data, w, b, rows) {
    let loss = 0;
    let gradW = 0;
    let gradB = 0;
    const count = rows ? rows.length : data.length;
    for (let k = 0; k < count; k++) {
      const [x, y] = data[rows ? rows[k] : k];
      const error = w * x + b - y;
      loss += error * error;
      const pull = (2 * error) / count;
      gradW += pull * x;
      gradB += pull;
    }
    return { loss: loss / count, gradW, gradB };
  }

  /**
   * The loss is a bowl: where its bottom is, its two main directions and the curvature along each, steepest first.
   * @param {Pair[]} data @param {number[]} [rows] @returns {Bowl}
   */
  function bowl(data, rows) {
    const points = rows ? rows.map((row) => data[row]) : data;
    const n = points.length;
    const mx = points.reduce((sum, p) => sum + p[0], 0) / n;
    const my = points.reduce((sum, p) => sum + p[1], 0) / n;
    const xx = points.reduce((sum, p) => sum + (p[0] - mx) ** 2, 0) / n;
    const xy = points.reduce((sum, p) => sum + (p[0] - mx) * (p[1] - my), 0) / n;
    // On one x only, a whole line of (w, b) is best; the point of it that is nearest to (0, 0) stands for it.
    const flat = xx <= 1e-14 * (1 + mx * mx);
    const w = flat ? (mx * my) / (1 + mx * mx) : xy / xx;
    const b = my - w * mx;
    const p = 2 * (xx + mx * mx);
    const mid = (p + 2) / 2;
    const reach = Math.hypot((p - 2) / 2, 2 * mx);
    const steep = mid + reach;
    const angle = 0.5 * Math.atan2(4 * mx, p - 2);
    const u = /** @type {Pair} */ ([Math.cos(angle), Math.sin(angle)]);
    return {
      centre: [w, b],
      axes: [u, [-u[1], u[0]]],
      curvature: [steep, flat ? 0 : (4 * xx) / steep], // the determinant 4 xx over the other eigenvalue
      least: lossAndGradient(points, w, b).loss,
    };
  }

  /**
   * Below this rate gradient descent with all the data converges; null for rules that divide by the gradient's size.
   * @param {string} opt @param {number} beta @param {number} steepest
   */
  function stableRate(opt, beta, steepest) {
    if (opt === "sgd") return 2 / steepest;
    if (opt === "momentum") return (2 * (1 + beta)) / steepest;
    if (opt === "nesterov") return (2 * (1 + beta)) / ((1 + 2 * beta) * steepest);
    return null;
  }

  // ---- A run ---------------------------------------------------------------------------------------------------------

  /** One run: rows to the present, one more with `step`, one less with `back`. */
  class Run {
    /** @param {RunSettings} settings @param {World} world */
    constructor(settings, world) {
      this.settings = settings;
      this.world = world;
      this.order = batchOrder(world.data.length, settings.batch, settings.seed);
      this.bowl = bowl(world.data);
      const v = settings.opt === "adagrad" ? f32(0.1) : 0;
      const { loss } = lossAndGradient(world.data, world.w, world.b);
      /** @type {Row[]} */
      this.rows = [
        {
          update: 0, w: world.w, b: world.b, loss, gradW: null, gradB: null, batch: [], batchLoss: null,
          lr: settings.lr, memory: { m: [0, 0], v: [v, v] },
        },
      ];
      /** Whether the next update is no longer finite. */
      this.ended = !Number.isFinite(loss);
    }

    /** @returns {Row} */
    get last() {
      return this.rows[this.rows.length - 1];
    }

    /** @returns {boolean} whether the loss is more than a thousand times what it was, or no number at all */
    get diverged() {
      return this.ended || this.last.loss > 1e3 * this.rows[0].loss + 1;
    }

    /** @returns {boolean} whether the loss is within 1e-10 of the way to its minimum */
    get converged() {
      const { least } = this.bowl;
      return this.last.update > 0 && this.last.loss - least <= 1e-10 * (this.rows[0].loss - least);
    }

    /** @returns {boolean} whether nothing new is to be seen: the run is at the bottom, at its end, or far out and leaving */
    get settled() {
      return this.ended || this.converged || this.rows.length > MAX_UPDATES || this.last.loss > 1e12 * this.rows[0].loss + 1;
    }

    /** @param {number} update @returns {number} the learning rate that the given update uses */
    rateAt(update) {
      let rate = this.settings.lr;
      for (const [from, lr] of this.settings.rates) if (update > from) rate = lr;
      return rate;
    }

    /** The row after one more update. @returns {Row} */
    next() {
      const { w, b, memory, update: done } = this.last;
      const { opt, beta } = this.settings;
      const batch = this.order(done);
      const { loss: batchLoss, gradW, gradB } = lossAndGradient(this.world.data, w, b, batch);
      const lr = this.rateAt(done + 1);
      const kept = { m: /** @type {Pair} */ ([...memory.m]), v: /** @type {Pair} */ ([...memory.v]) };
      const { rule } = OPTIMIZERS[opt];
      const newW = rule(w, gradW, 0, kept, f32(lr), beta, done + 1);
      const newB = rule(b, gradB, 1, kept, f32(lr), beta, done + 1);
      const { loss } = lossAndGradient(this.world.data, newW, newB);
      return { update: done + 1, w: newW, b: newB, loss, gradW, gradB, batch, batchLoss, lr, memory: kept };
    }

    /** Makes one update. @returns {boolean} false if the run is at its end */
    step() {
      if (this.ended || this.rows.length > MAX_UPDATES) return false;
      const row = this.next();
      this.ended = ![row.w, row.b, row.loss, ...row.memory.m, ...row.memory.v].every(Number.isFinite);
      if (!this.ended) this.rows.push(row);
      return !this.ended;
    }

    /** Takes the last update back, and a change of rate made after it. */
    back() {
      if (this.rows.length > 1) this.rows.pop();
      this.ended = false;
      this.settings.rates = this.settings.rates.filter(([from]) => from <= this.last.update);
    }
  }

  return Object.freeze({
    OPTIMIZERS, MAX_UPDATES, EPSILON, BETA_2, DECAY, f32, Run, batchOrder, bowl, lossAndGradient, stableRate,
  });
})();
