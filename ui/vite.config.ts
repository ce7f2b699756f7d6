/// <reference types="vitest/config" />
import { lezer } from '@lezer/generator/rollup';
import react from '@vitejs/plugin-react';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

const OUT_DIR = fileURLToPath(new URL('../crates/web-ui/dist', import.meta.url));
/** Smaller files gain nothing from a compressed sibling. */
const COMPRESS_BYTES_MIN = 1024;
const COMPRESSIBLE = /\.(js|css|html|svg|json)$/;

/** Writes `.br` and `.gz` beside every text asset, so that the server never compresses at run time. */
function compressedSiblings(): Plugin {
  return {
    name: 'compressed-siblings',
    apply: 'build',
    async closeBundle() {
      const names = await readdir(OUT_DIR, { recursive: true });
      await Promise.all(names.filter((name) => COMPRESSIBLE.test(name)).map((name) => compress(name)));
    },
  };
}

async function compress(name: string): Promise<void> {
  const path = join(OUT_DIR, name);
  const bytes = await readFile(path);
  if (bytes.length < COMPRESS_BYTES_MIN) return;
  const params = {
    [constants.BROTLI_PARAM_QUALITY]: 11,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  await writeFile(`${path}.br`, await promisify(brotliCompress)(bytes, { params }));
  await writeFile(`${path}.gz`, await promisify(gzip)(bytes, { level: 9 }));
}

/** Keeps the folder in git: without it cargo would rebuild the embedding crate each time. */
function keepFolder(): Plugin {
  return {
    name: 'keep-folder',
    apply: 'build',
    closeBundle: () => writeFile(join(OUT_DIR, '.gitkeep'), ''),
  };
}

const proxyTarget = process.env.SAWYER_URL ?? 'http://127.0.0.1:7280';

export default defineConfig({
  base: './',
  plugins: [react(), lezer(), compressedSiblings(), keepFolder()],
  build: {
    outDir: OUT_DIR,
    emptyOutDir: true,
    target: 'es2022',
    modulePreload: { polyfill: false },
    assetsInlineLimit: 0,
    reportCompressedSize: false,
  },
  server: { proxy: { '/api': proxyTarget, '/healthz': proxyTarget } },
  test: { environment: 'happy-dom', include: ['tests/unit/**/*.test.{ts,tsx}'] },
});
