// Render LaTeX with KaTeX: one JSON request a line on stdin, one JSON answer a line on stdout.
const katex = require(process.argv[2]);
const lines = require("node:readline").createInterface({ input: process.stdin });
lines.on("line", (line) => {
  const { latex, displayMode } = JSON.parse(line);
  const answer = {};
  try {
    answer.html = katex.renderToString(latex, { displayMode, throwOnError: true, strict: false });
  } catch (error) {
    answer.error = error.message;
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
});
