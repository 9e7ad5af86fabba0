// Two computational graphs, and how to run one forward and backward. No page, no drawing.

/**
 * A node: a leaf, or an operation on earlier nodes. `at` is its place: [column, row] in units of the picture.
 * @typedef {{name: string, op?: string, from: string[], at: Pair}} Vertex
 */
/** @typedef {{vertices: Vertex[], inputs: string[], weights: string[], end: string, rows: number, columns: number}} Graph */
/** @typedef {Record<string, number>} Values */

const gdxNet = (() => {
  /** Each operation: its value, and its derivative by each of its arguments. */
  /** @type {Record<string, {value: (a: number[]) => number, slopes: (a: number[], v: number) => number[]}>} */
  const OPS = {
    add: { value: ([a, b]) => a + b, slopes: () => [1, 1] },
    multiply: { value: ([a, b]) => a * b, slopes: ([a, b]) => [b, a] },
    // Arguments come in pairs (weight, input), the bias last.
    affine: {
      value: (a) => a.reduce((sum, v, i) => (i % 2 ? sum + a[i - 1] * v : sum), 0) + a[a.length - 1],
      slopes: (a) => a.map((_, i) => (i === a.length - 1 ? 1 : a[i % 2 ? i - 1 : i + 1])),
    },
    tanh: { value: ([a]) => Math.tanh(a), slopes: (_, v) => [1 - v * v] },
    squared: { value: ([a, b]) => (a - b) ** 2, slopes: ([a, b]) => [2 * (a - b), -2 * (a - b)] },
  };

  /** @param {string} name @param {number} column @param {number} row @param {string} [op] @param {string} [from] @returns {Vertex} */
  const vertex = (name, column, row, op, from = "") => ({ name, op, from: from.split(" ").filter(Boolean), at: [column, row] });

  /** @type {Record<string, Graph>} */
  const GRAPHS = {
    net: {
      columns: 5, rows: 5, inputs: ["x", "y"], weights: ["w1", "w2", "b1", "b2", "v1", "v2", "c"], end: "loss",
      vertices: [
        vertex("x", 0, 2), vertex("w1", 0, 0), vertex("b1", 0, 1), vertex("w2", 0, 3), vertex("b2", 0, 4),
        vertex("z1", 1, 1, "affine", "w1 x b1"), vertex("z2", 1, 3, "affine", "w2 x b2"),
        vertex("h1", 2, 1, "tanh", "z1"), vertex("h2", 2, 3, "tanh", "z2"),
        vertex("v1", 2, 0), vertex("v2", 2, 4), vertex("c", 2, 2),
        vertex("yhat", 3, 2, "affine", "v1 h1 v2 h2 c"), vertex("y", 3, 4), vertex("loss", 4, 2, "squared", "yhat y"),
      ],
    },
    circuit: {
      columns: 3, rows: 3, inputs: ["x", "y"], weights: ["z"], end: "f",
      vertices: [
        vertex("x", 0, 0), vertex("y", 0, 1), vertex("z", 0, 2),
        vertex("q", 1, 0.5, "add", "x y"), vertex("f", 2, 1.25, "multiply", "q z"),
      ],
    },
  };

  /** @type {Record<string, {x: number, y: number, weights: number[]}>} */
  const STANDARD = {
    net: { x: 2, y: 1, weights: [0.5, -0.5, 0, 0.5, 1, 2, 0.5] },
    circuit: { x: -2, y: 5, weights: [-4] },
  };

  /** Runs a graph: values forward, then gradients of its end backward. @param {Graph} graph @param {Values} leaves */
  function run(graph, leaves) {
    /** @type {Values} */ const value = { ...leaves };
    /** @type {Values} */ const grad = {};
    /** @type {Record<string, number[]>} */ const slopes = {};
    for (const { name, op, from } of graph.vertices) {
      if (op) {
        const given = from.map((source) => value[source]);
        value[name] = OPS[op].value(given);
        slopes[name] = OPS[op].slopes(given, value[name]);
      }
      grad[name] = 0;
    }
    grad[graph.end] = 1;
    for (const { name, from } of [...graph.vertices].reverse()) {
      from.forEach((source, i) => (grad[source] += grad[name] * slopes[name][i]));
    }
    return { value, grad, slopes };
  }

  /**
   * The steps of a graph: each operation forward, then each node's gradient from the end back.
   * @param {Graph} graph @returns {{name: string, backward: boolean}[]}
   */
  function steps(graph) {
    const forward = graph.vertices.filter((v) => v.op).map(({ name }) => ({ name, backward: false }));
    const order = [...graph.vertices].sort((a, b) => b.at[0] - a.at[0] || a.at[1] - b.at[1]);
    return [...forward, ...order.map(({ name }) => ({ name, backward: true }))];
  }

  return Object.freeze({ GRAPHS, STANDARD, run, steps });
})();
