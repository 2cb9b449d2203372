// Whoever comes first to a task whose account ends in 5 ends there, in the middle of its answer.
const fs = require("node:fs");
const lines = require("node:readline").createInterface({ input: process.stdin });

lines.on("line", (line) => {
  const { id, number, attempt } = JSON.parse(line);
  if (attempt === 1 && /^a0..5-/.test(id)) {
    fs.writeSync(2, `${id} ends here\n`);
    fs.writeSync(1, `{"id":"${id}","eff`);
    process.kill(process.pid, "SIGKILL");
  }
  const order = { account: "a", symbol: id, n: number, side: "buy", quantity: 1, price: 1.0 };
  fs.writeSync(1, JSON.stringify({ id, effects: [order] }) + "\n");
});
