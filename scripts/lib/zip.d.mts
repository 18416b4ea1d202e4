/** The files in a zip archive by their names; each is unpacked when it is asked for. */
export function filesInZip(path: string): Map<string, () => Buffer>;
