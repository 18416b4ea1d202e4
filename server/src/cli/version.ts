import manifest from '../../../package.json' with { type: 'json' };

/** Version of the product, from its manifest. */
export const version: string = manifest.version;
