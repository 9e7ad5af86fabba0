// A run in words: its name, its update written out, what has become of it, its Keras code, its table.

const gdxWords = (() => {
  const { show, term } = gdxUi;
  const { OPTIMIZERS, BETA_2, DECAY, f32 } = gdxEngine;
  /** @typedef {InstanceType<typeof gdxEngine.Run>} OneRun */

  /** @param {number} batch @param {number} count */
  const variant = (batch, count) => (batch === count ? "batch" : batch === 1 ? "stochastic" : "mini-batch");

  /** @param {RunSettings} run @param {number} count @returns {string} */
  function name(run, count) {
    const rates = [run.lr, ...run.rates.map((change) => change[1])].map((lr) => show(lr)).join(" → ");
    return `${OPTIMIZERS[run.opt].name} ${rates}, ${variant(run.batch, count)}${run.batch === count ? "" : ` ${run.batch}`}`;
  }

  /**
   * One parameter's update with its numbers, a line a formula.
   * @param {string} opt @param {number} beta @param {Row} before @param {Row} row @param {0 | 1} i @returns {[string, string][]}
   */
  function equations(opt, beta, before, row, i) {
    const p = "wb"[i];
    const [old, now] = i ? [before.b, row.b] : [before.w, row.w];
    const g = /** @type {number} */ (i ? row.gradB : row.gradW);
    const [m0, v0, m, v] = [before.memory.m[i], before.memory.v[i], row.memory.m[i], row.memory.v[i]];
    const [G, O, R] = [term(g), show(old), show(row.lr)];
    const result = ` = ${show(now, 6)}`;
    if (opt === "sgd") return [[`${p} ← ${p} − η g`, `${O} − ${R} × ${G}${result}`]];
    if (opt === "momentum") {
      return [["v ← β v − η g", `${show(beta)} × ${term(m0)} − ${R} × ${G} = ${show(m)}`], [`${p} ← ${p} + v`, `${O} + ${term(m)}${result}`]];
    }
    if (opt === "nesterov") {
      return [
        ["v ← β v − η g", `${show(beta)} × ${term(m0)} − ${R} × ${G} = ${show(m)}`],
        [`${p} ← ${p} + β v − η g`, `${O} + ${show(beta)} × ${term(m)} − ${R} × ${G}${result}`],
      ];
    }
    if (opt === "adagrad") {
      return [["s ← s + g²", `${show(v0)} + ${G}² = ${show(v)}`], [`${p} ← ${p} − η g / √(s + ε)`, `${O} − ${R} × ${G} / √${show(v)}${result}`]];
    }
    if (opt === "rmsprop") {
      return [
        ["s ← ρ s + (1 − ρ) g²", `${show(beta)} × ${show(v0)} + ${show(1 - beta)} × ${G}² = ${show(v)}`],
        [`${p} ← ${p} − η g / √(s + ε)`, `${O} − ${R} × ${G} / √${show(v)}${result}`],
      ];
    }
    const alpha = (row.lr * Math.sqrt(1 - f32(BETA_2) ** row.update)) / (1 - f32(beta) ** row.update);
    const decayed = opt === "adamw" ? `${O} (1 − ${show(DECAY)} × ${R})` : O;
    return [
      ["m ← m + (1 − β₁)(g − m)", `${show(m0)} + ${show(1 - beta)} × ${term(g - m0)} = ${show(m)}`],
      ["s ← s + (1 − β₂)(g² − s)", `${show(v0)} + 0.001 × ${term(g * g - v0)} = ${show(v)}`],
      [`${p} ← ${p} ${opt === "adamw" ? "(1 − λη) " : ""}− α m / (√s + ε)`, `${decayed} − ${show(alpha)} × ${term(m)} / √${show(v)}${result}`],
    ];
  }

  /** @param {OneRun} run @returns {string} what has become of the run, in a sentence or two */
  function verdict(run) {
    const { last, rows, world, settings } = run;
    const { curvature, centre } = run.bowl;
    const rate = run.rateAt(last.update);
    const limit = gdxEngine.stableRate(settings.opt, settings.beta, curvature[0]);
    if (run.diverged) {
      const first = run.ended && !Number.isFinite(rows[0].loss);
      let text = first
        ? "The loss is too large for a number already at the start. Move the start or the data closer."
        : `This run diverges: after ${last.update} updates the loss is ${show(last.loss / Math.max(rows[0].loss, 1e-300), 3)} times what it was at the start.`;
      if (run.ended && !first) text += " One more update would be too large for a number, so the run ends here.";
      if (limit !== null && rate > limit) text += ` The rate ${show(rate)} is above the stability limit ${show(limit)}: each update overshoots the valley by more than the last.`;
      else if (limit !== null && settings.batch < world.data.length) text += " The rate is below the limit for all the data, but single batches are steeper than their mean.";
      return text;
    }
    if (last.update >= gdxEngine.MAX_UPDATES) return `${gdxEngine.MAX_UPDATES.toLocaleString("en")} updates: the page stops here.`;
    if (run.converged) {
      return `Converged: the loss is within 10⁻¹⁰ of the way to its minimum at w = ${show(centre[0])}, b = ${show(centre[1])}.`;
    }
    if (!last.update) return "";
    const slower = last.loss > rows[last.update - 1].loss;
    return slower ? "This update made the loss of all the data larger." : "";
  }

  /** @param {number} value @returns {string} as Python reads it */
  const py = (value) => (Number.isInteger(value) && Math.abs(value) < 1e15 ? `${value}.0` : String(value));

  /** @param {OneRun} run @returns {string} a script that makes the same run in Keras and leaves it in `path` */
  function keras(run) {
    const { opt, batch, lr, beta, seed, rates } = run.settings;
    const { w, b, data } = run.world;
    const updates = run.last.update || 50;
    const { keras: kind, beta: option } = OPTIMIZERS[opt];
    const options = [`learning_rate=${py(lr)}`];
    if (option) options.push(`${option}=${py(beta)}`);
    if (opt === "nesterov") options.push("nesterov=True");
    /** @param {0 | 1} i */
    const column = (i) => `[${data.map((point) => `[${py(point[i])}]`).join(", ")}]`;
    const changes = rates.map(([from, rate]) => `${from}: ${py(rate)}`).join(", ");
    return [
      "import keras",
      "import numpy as np",
      "",
      `x = np.array(${column(0)})`,
      `y = np.array(${column(1)})`,
      "",
      'model = keras.Sequential([keras.Input((1,), dtype="float64"), keras.layers.Dense(1, dtype="float64")])',
      `model.set_weights([np.array([[${py(w)}]]), np.array([${py(b)}])])`,
      `optimizer = keras.optimizers.${kind}(${options.join(", ")})`,
      'model.compile(optimizer=optimizer, loss=keras.losses.MeanSquaredError(dtype="float64"))',
      "",
      `rng = np.random.default_rng(${seed})`,
      "batches = []",
      `while len(batches) < ${updates}:  # every row once an epoch, in a new order`,
      "    order = rng.permutation(len(x))",
      `    batches += [order[first : first + ${batch}] for first in range(0, len(x), ${batch})]`,
      "",
      `path = [(${py(w)}, ${py(b)})]`,
      ...(rates.length ? [`rates = {${changes}}  # the rate was changed after so many updates`] : []),
      `for update, rows in enumerate(batches[:${updates}]):`,
      ...(rates.length ? ["    if update in rates:", "        optimizer.learning_rate = rates[update]"] : []),
      "    model.train_on_batch(x[rows], y[rows])",
      "    path.append(tuple(value.item() for value in model.get_weights()))",
      "    print(update + 1, *path[-1])",
      "",
    ].join("\n");
  }

  const COLUMNS = ["update", "batch", "loss", "w", "b", "gradient w", "gradient b"];

  /** @param {Row} row @returns {string[]} its cells in the table */
  const cells = (row) => [
    String(row.update), row.batch.map((i) => i + 1).sort((a, b) => a - b).join(" ") || "start", show(row.loss, 6), show(row.w, 6),
    show(row.b, 6), row.gradW === null ? "" : show(row.gradW, 6), row.gradB === null ? "" : show(row.gradB, 6),
  ];

  /** @param {OneRun[]} runs @returns {string} all numbers of all runs, in full */
  function csv(runs) {
    const lines = ["run,name,update,w,b,loss,batch_loss,gradient_w,gradient_b,learning_rate,batch"];
    runs.forEach((run, i) => {
      const label = `"${name(run.settings, run.world.data.length)}"`;
      for (const row of run.rows) {
        lines.push([i + 1, label, row.update, row.w, row.b, row.loss, row.batchLoss ?? "", row.gradW ?? "", row.gradB ?? "", row.lr, row.batch.join(" ")].join(","));
      }
    });
    return `${lines.join("\n")}\n`;
  }

  return Object.freeze({ variant, name, equations, verdict, keras, COLUMNS, cells, csv });
})();
