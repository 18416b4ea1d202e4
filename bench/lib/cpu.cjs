// Required in front of a program: leaves the milliseconds of processors that it used, in all of its threads, in the file LPA_CPU_FILE.
process.on('exit', () => {
  const { user, system } = process.cpuUsage();
  require('node:fs').writeFileSync(process.env.LPA_CPU_FILE, String((user + system) / 1000));
});
