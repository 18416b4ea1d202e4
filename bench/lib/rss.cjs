// Loaded before a program with --require: writes its peak memory (KiB) to the file that LPA_RSS_FILE names when it ends.
const { writeFileSync } = require('node:fs');

process.on('exit', () => writeFileSync(process.env.LPA_RSS_FILE, String(process.resourceUsage().maxRSS)));
