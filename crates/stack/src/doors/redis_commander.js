// One login at Redis Commander's page, in its container. Comes with one line before
// it: USER and PASSWORD.
const body = JSON.stringify({ username: USER, password: PASSWORD });
const ask = require("http").request(
  {
    host: "127.0.0.1",
    port: process.env.PORT,
    path: (process.env.URL_PREFIX || "") + "/signin",
    method: "POST",
    headers: { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) },
    timeout: 20000,
  },
  (answer) => {
    let text = "";
    answer.on("data", (part) => (text += part));
    answer.on("end", () => {
      let isIn = false;
      try {
        isIn = JSON.parse(text).ok === true;
      } catch {
        // Said below.
      }
      if (isIn) return;
      console.error("its page refuses (HTTP " + answer.statusCode + ")");
      process.exitCode = 1;
    });
  },
);
ask.on("timeout", () => ask.destroy(new Error("its page doesn't answer")));
ask.on("error", (error) => {
  console.error(error.message);
  process.exitCode = 1;
});
ask.end(body);
