/** See own-machine.mjs. */
export function ownMachine<Vm extends { readonly name: string; readonly tree: string }>(
  vm: Vm,
  home: string,
  name: string,
  tree?: string,
): Promise<Vm>;
