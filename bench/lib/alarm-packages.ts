/** A Debian source package whose patch series is taken for commits, and how it is built, in steps; each step's compiler calls are recorded. */
export interface Package {
  readonly name: string;
  readonly configure?: readonly (readonly string[])[];
  readonly make: readonly string[];
}

const autoreconf = ['sh', '-c', 'test -x configure || autoreconf -fi'];

/**
 * C programs and libraries with long series of real fixes (most for security holes), each built in less than two minutes. Parts that need packages which a machine may lack are switched
 * off: the units that are left are those that the fixes are about.
 */
export const packages: readonly Package[] = [
  {
    name: 'unzip',
    make: [
      'make',
      '-j2',
      '-f',
      'unix/Makefile',
      'unzips',
      'CC=gcc',
      'CFLAGS=-O2 -I. -DUNIX -DUNICODE_SUPPORT -DUNICODE_WCHAR -DUTF8_MAYBE_NATIVE -DNO_LCHMOD -DLARGE_FILE_SUPPORT',
    ],
  },
  { name: 'less', configure: [['./configure']], make: ['make', '-j2'] },
  {
    name: 'rsync',
    configure: [
      [
        './configure',
        '--disable-xxhash',
        '--disable-zstd',
        '--disable-lz4',
        '--disable-md2man',
        '--with-included-popt',
      ],
    ],
    make: ['make', '-j2', 'rsync'],
  },
  {
    name: 'openssh',
    // The patches change configure.ac.
    configure: [
      ['autoreconf', '-fi'],
      ['./configure', '--without-pam', '--without-selinux', '--with-security-key-builtin=no'],
    ],
    make: ['make', '-j2', 'ssh', 'sshd', 'ssh-add', 'ssh-agent', 'ssh-keygen', 'scp', 'sftp', 'sftp-server'],
  },
  {
    name: 'libxml2',
    configure: [['./configure', '--disable-shared', '--without-python', '--without-lzma']],
    make: ['make', '-j2', 'libxml2.la', 'xmllint'],
  },
  {
    name: 'tiff',
    configure: [
      autoreconf,
      ['./configure', '--disable-shared', '--disable-cxx', '--disable-jbig', '--disable-webp', '--disable-zstd'],
    ],
    make: ['make', '-j2'],
  },
  { name: 'redis', make: ['make', '-j2', 'V=1', 'MALLOC=libc', 'BUILD_TLS=no', 'USE_SYSTEMD=no'] },
  {
    name: 'libarchive',
    configure: [
      autoreconf,
      ['./configure', '--disable-static', '--without-xml2', '--without-expat', '--without-openssl', '--without-nettle'],
    ],
    make: ['make', '-j2', 'libarchive.la'],
  },
  { name: 'dash', configure: [autoreconf, ['./configure']], make: ['make', '-j2'] },
  // Its Makefile appends to CFLAGS of the environment, once the series is applied.
  { name: 'cron', make: ['env', 'CFLAGS=-g -O2', 'make'] },
  {
    name: 'patch',
    // The patches make the Makefile's own sources newer than what was generated from them.
    configure: [
      ['sh', '-c', 'touch aclocal.m4 && sleep 1 && find . -name Makefile.in -exec touch configure config.hin {} +'],
      ['./configure'],
    ],
    make: ['make', '-j2'],
  },
  {
    name: 'curl',
    configure: [
      autoreconf,
      ['./configure', '--disable-shared', '--with-openssl', '--disable-ldap', '--without-libpsl'],
    ],
    make: ['make', '-j2'],
  },
];
