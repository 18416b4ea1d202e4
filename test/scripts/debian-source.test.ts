import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { sourceLines, sourceStanzas } from '../../scripts/lib/debian-source.mjs';

describe("private source lists from the machine's own", () => {
  it('turns one-line entries of this release into deb-src, options kept, others and comments left out', () => {
    const list = [
      '# deb http://mirror.test/debian bookworm main',
      'deb http://mirror.test/debian bookworm main contrib # our mirror',
      'deb [signed-by=/usr/share/keyrings/x.gpg arch=amd64] http://mirror.test/security bookworm-security main',
      'deb-src http://mirror.test/debian bookworm-updates main',
      'deb http://other.test/node nodistro main',
      'deb http://mirror.test/debian bullseye main',
    ].join('\n');
    assert.deepEqual(
      sourceLines(list, 'bookworm').map((line) => line.trim()),
      [
        'deb-src http://mirror.test/debian bookworm main contrib',
        'deb-src [signed-by=/usr/share/keyrings/x.gpg arch=amd64] http://mirror.test/security bookworm-security main',
        'deb-src http://mirror.test/debian bookworm-updates main',
      ],
    );
  });

  it('turns deb822 stanzas of this release into deb-src, keys kept', () => {
    const sources = [
      'Types: deb',
      '# an archive of old versions',
      'URIs: http://mirror.test/debian',
      'Suites: bookworm bookworm-updates',
      'Components: main',
      'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg',
      '',
      'Types: deb',
      'URIs: http://other.test/',
      'Suites: nodistro',
      'Components: main',
      '',
      'Enabled: no',
      'Types: deb',
      'URIs: http://mirror.test/backports',
      'Suites: bookworm-backports',
      'Components: main',
    ].join('\n');
    const stanzas = sourceStanzas(sources, 'bookworm');
    assert.equal(stanzas.length, 1);
    assert.match(stanzas[0]!, /^Types: deb-src$/m);
    assert.match(stanzas[0]!, /^Signed-By: \/usr\/share\/keyrings\/debian-archive-keyring\.gpg$/m);
    assert.doesNotMatch(stanzas[0]!, /^#/m);
  });
});
