/** Preloaded into the real process by a test: SIGUSR1 then is a mistake that nobody catches. */
process.on("SIGUSR1", () => {
  throw new Error("out of nowhere");
});
