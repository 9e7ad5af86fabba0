// What can be set, what is allowed, and how it is written in a link.

/**
 * Everything that a link holds. `runs` share the start and the data; one of them is the one that the controls show.
 * @typedef {{world: World, runs: RunSettings[], active: number, steps: number}} Setup
 */

const gdxSettings = (() => {
  const MAX_POINTS = 100;
  const MAX_TEXT = 1e6;
  const MAX_RUNS = 4;
  const FIELDS = ["opt", "batch", "lr", "beta", "w", "b", "seed", "data"];

  /** @returns {Setup} the course's line y = 2x from (0, 0), batch gradient descent */
  const standard = () => ({
    world: { w: 0, b: 0, data: [[1, 2], [2, 4], [3, 6], [4, 8]] },
    runs: [{ opt: "sgd", batch: 4, lr: 0.05, beta: 0.9, seed: 0, rates: [] }],
    active: 0,
    steps: 0,
  });

  /** @param {unknown} value @returns {string} the value as a short word for a message */
  function shown(value) {
    const text = typeof value === "string" ? value : String(JSON.stringify(value));
    return text === "" ? "nothing" : text.length > 40 ? `${text.slice(0, 40)}…` : text;
  }

  /**
   * @param {string} name @param {unknown} value @param {number} low @param {number} high @param {boolean} [whole]
   * @returns {number}
   */
  function number(name, value, low, high, whole = false) {
    const found = typeof value === "number" ? value : typeof value === "string" && value.trim() ? Number(value) : NaN;
    if (!(found >= low && found <= high) || (whole && !Number.isInteger(found))) {
      throw new RangeError(`${name} must be a ${whole ? "whole " : ""}number from ${low} to ${high}, not ${shown(value)}`);
    }
    return found;
  }

  /** @param {unknown} value @returns {Pair[]} */
  function points(value) {
    const pairs = typeof value === "string"
      ? value.split(/[;\n]+/).filter((line) => line.trim()).map((line) => line.trim().split(/[\s,]+/))
      : value;
    if (!Array.isArray(pairs) || pairs.length < 1 || pairs.length > MAX_POINTS) {
      const count = Array.isArray(pairs) ? `${pairs.length.toLocaleString("en")} points` : shown(value);
      throw new RangeError(`The data must be 1 to ${MAX_POINTS} points “x, y”, not ${count}`);
    }
    return pairs.map((pair) => {
      if (!Array.isArray(pair) || pair.length !== 2) throw new RangeError(`The data must be points “x, y”, not ${shown(pair)}`);
      return [number("An x", pair[0], -1e6, 1e6), number("A y", pair[1], -1e6, 1e6)];
    });
  }

  /**
   * Reads two columns of numbers: a CSV file, or what was copied from a sheet.
   * @param {string} text @param {boolean} scaled each column to mean 0 and standard deviation 1
   * @returns {{data: Pair[], notes: string[]}} the points, and in words what was made of the text
   */
  function table(text, scaled) {
    if (text.length > MAX_TEXT) throw new RangeError(`The text must be at most ${many(MAX_TEXT)} characters long, not ${many(text.length)}.`);
    const lines = text.split(/\r\n?|\n/).map((line, i) => ({ line: line.trim(), at: i + 1 })).filter(({ line }) => line && !line.startsWith("#"));
    if (!lines.length) throw new RangeError("There must be at least one line with two numbers, x and y.");
    const separator = ["\t", ";", ","].find((one) => lines[lines.length - 1].line.includes(one)) ?? /\s+/;
    const rows = lines.map(({ line, at }) => ({ at, cells: line.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1")) }));
    /** @param {string | undefined} cell */
    const read = (cell) => (cell ? Number(separator === ";" ? cell.replace(",", ".") : cell) : NaN); // 1,5; 2,5 as some sheets write
    /** @type {string[]} */ const notes = [];
    if (rows[0].cells.slice(0, 2).every((cell) => Number.isNaN(read(cell)))) {
      notes.push(`“${shown(rows[0].cells.slice(0, 2).join(", "))}” was taken for the names of the columns.`);
      rows.shift();
    }
    if (!rows.length) throw new RangeError("There must be at least one line with two numbers, x and y.");
    /** @type {Pair[]} */
    const all = rows.map(({ at, cells }) => {
      if (cells.length < 2) throw new RangeError(`Line ${at} must have two columns, x and y, not one: “${shown(cells[0])}”.`);
      return [coordinate(`Line ${at}: x`, cells[0], read(cells[0]), scaled), coordinate(`Line ${at}: y`, cells[1], read(cells[1]), scaled)];
    });
    const columns = Math.max(...rows.slice(0, 1000).map(({ cells }) => cells.length));
    if (columns > 2) notes.push(`The first two of ${columns} columns are used.`);
    const every = Math.ceil(all.length / MAX_POINTS);
    const data = all.filter((_, i) => i % every === 0);
    if (every > 1) notes.push(`There is room for ${MAX_POINTS} points: of ${many(all.length)} lines one in ${every} is used.`);
    if (scaled) notes.push(...scale(data));
    return { data, notes };
  }

  /** @param {number} count */
  const many = (count) => count.toLocaleString("en");

  /** @param {string} name @param {string} cell @param {number} value @param {boolean} scaled @returns {number} */
  function coordinate(name, cell, value, scaled) {
    if (!Number.isFinite(value)) throw new RangeError(`${name} must be a number, not ${cell ? `“${shown(cell)}”` : "nothing"}.`);
    const most = scaled ? 1e100 : 1e6;
    if (Math.abs(value) > most) {
      throw new RangeError(`${name} must be from −${most.toLocaleString("en")} to ${most.toLocaleString("en")}, not ${shown(cell)}. Scaled columns may be larger.`);
    }
    return value;
  }

  /** Takes from each column its mean and divides by its standard deviation, in place. @param {Pair[]} data @returns {string[]} what was done */
  function scale(data) {
    return /** @type {const} */ ([0, 1]).map((i) => {
      const size = Math.max(...data.map((point) => Math.abs(point[i]))) || 1; // so that no square is too large for a number
      const mean = (data.reduce((sum, point) => sum + point[i] / size, 0) / data.length) * size;
      const spread = Math.sqrt(data.reduce((sum, point) => sum + ((point[i] - mean) / size) ** 2, 0) / data.length) * size;
      const flat = spread <= 1e-12 * size;
      for (const point of data) point[i] = Number(((point[i] - mean) / (flat ? 1 : spread)).toPrecision(6));
      const [name, m, s] = ["xy"[i], gdxUi.show(mean, 5), gdxUi.show(spread, 5)];
      return flat ? `Every ${name} is ${m}, which is 0 now.` : `${name} is scaled: 0 stands for ${m}, and 1 for ${s} more.`;
    });
  }

  /** @type {Record<string, (value: unknown, count: number) => any>} */
  const CHECKS = {
    opt(value) {
      if (typeof value === "string" && Object.hasOwn(gdxEngine.OPTIMIZERS, value)) return value;
      throw new RangeError(`The optimizer must be one of ${Object.keys(gdxEngine.OPTIMIZERS).join(", ")}, not ${shown(value)}`);
    },
    batch: (value, count) => number("The batch size", value, 1, count, true),
    lr: (value) => number("The learning rate", value, 1e-9, 1000),
    beta: (value) => number("β", value, 0, 0.9999),
    seed: (value) => number("The seed", value, 0, 2 ** 32 - 1, true),
    w: (value) => number("The start’s weight w", value, -1e6, 1e6),
    b: (value) => number("The start’s bias b", value, -1e6, 1e6),
    data: (value) => points(value),
    step: (value) => number("The number of updates", value, 0, gdxEngine.MAX_UPDATES, true),
    show: (value, count) => number("The run that is shown", value, 0, count - 1, true),
  };

  /**
   * Changes a setup in place. What is not allowed is left as it was, and a note says so.
   * @param {Setup} setup @param {Record<string, unknown>} wanted @returns {string[]} the notes
   */
  function apply(setup, wanted) {
    /** @type {string[]} */
    const notes = [];
    const run = setup.runs[setup.active];
    /** @param {string} name @param {(value: any) => void} set */
    const take = (name, set) => {
      if (!Object.hasOwn(wanted, name) || wanted[name] === undefined) return;
      try {
        set(CHECKS[name](wanted[name], setup.world.data.length));
      } catch (error) {
        notes.push(`${error instanceof Error ? error.message : error}. It was left as it is.`);
      }
    };
    take("data", (data) => setData(setup, data)); // first: how many points there are limits the batch
    for (const name of /** @type {const} */ (["opt", "batch", "lr", "beta", "seed"])) {
      take(name, (value) => Object.assign(run, { [name]: value }));
    }
    take("w", (w) => (setup.world = { ...setup.world, w }));
    take("b", (b) => (setup.world = { ...setup.world, b }));
    take("step", (steps) => (setup.steps = steps));
    for (const name of Object.keys(wanted)) {
      if (!FIELDS.includes(name) && name !== "step") notes.push(`${shown(name)} is no setting here. It was ignored.`);
    }
    return notes;
  }

  /** @param {Setup} setup @param {Pair[]} data a full batch stays a full batch */
  function setData(setup, data) {
    const before = setup.world.data.length;
    setup.world = { ...setup.world, data };
    for (const run of setup.runs) run.batch = run.batch === before ? data.length : Math.min(run.batch, data.length);
  }

  /** @param {Pair[]} rates */
  const writeRates = (rates) => rates.map(([from, lr]) => `${from}:${lr}`).join(",");

  /** @param {string} text @returns {Pair[]} */
  const readRates = (text) =>
    text.split(",").filter(Boolean).slice(0, 100).map((part) => {
      const [from, lr] = part.split(":");
      return [CHECKS.step(from, 0), CHECKS.lr(lr, 0)];
    });

  /** @param {Setup} setup @returns {string} the setup as the part of a link after # */
  function write(setup) {
    const { world, runs, active } = setup;
    const { opt, batch, lr, beta, seed, rates } = runs[active];
    const data = world.data.map((point) => point.join(",")).join(";");
    const parts = [["opt", opt], ["batch", batch], ["lr", lr], ["beta", beta], ["w", world.w], ["b", world.b]];
    parts.push(["seed", seed], ["data", data], ["step", setup.steps]);
    if (rates.length) parts.push(["rates", writeRates(rates)]);
    if (active) parts.push(["show", active]);
    runs.forEach((run, i) => {
      if (i === active) return;
      parts.push(["also", [run.opt, run.batch, run.lr, run.beta, run.seed, writeRates(run.rates)].join("~")]);
    });
    return parts.map(([name, value]) => `${name}=${value}`).join("&");
  }

  /**
   * Reads the part of a link after # into a setup.
   * @param {string} text @param {Setup} setup @returns {string[]} what was not understood, in words
   */
  function read(text, setup) {
    const query = new URLSearchParams(text.replace(/^[#?]/, "").replace(/\+/g, "%2B"));
    /** @type {Record<string, string>} */
    const wanted = Object.create(null);
    for (const [name, value] of query) if (!["also", "rates", "show"].includes(name)) wanted[name] = value;
    const notes = apply(setup, wanted);
    try {
      if (query.has("rates")) setup.runs[setup.active].rates = readRates(query.get("rates") || "");
      for (const text of query.getAll("also").slice(0, MAX_RUNS - 1)) {
        const [opt, batch, lr, beta, seed, rates = ""] = text.split("~");
        const count = setup.world.data.length;
        setup.runs.push({
          opt: CHECKS.opt(opt, count), batch: CHECKS.batch(batch, count), lr: CHECKS.lr(lr, count),
          beta: CHECKS.beta(beta, count), seed: CHECKS.seed(seed, count), rates: readRates(rates),
        });
      }
      if (query.has("show")) { // the run shown comes first in a link; here it takes its place among the others again
        const active = CHECKS.show(query.get("show"), setup.runs.length);
        setup.runs.splice(active, 0, ...setup.runs.splice(setup.active, 1));
        setup.active = active;
      }
    } catch (error) {
      notes.push(`${error instanceof Error ? error.message : error}. That part of the link was left out.`);
    }
    return notes;
  }

  return Object.freeze({ MAX_POINTS, MAX_TEXT, MAX_RUNS, FIELDS, CHECKS, number, table, standard, apply, setData, points, read, write });
})();
