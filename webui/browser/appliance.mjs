// Starts the real binary with emulated modems on a free port, and ends it. Beside
// them a modem whose SIM asks for a PIN, emulated by a process of its own on a
// pseudo-terminal, and a port where nothing is.
import { execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const patience = 20_000; // ms until it must have said where it is

export const pin = '4829';
export const puk = '12345678';

// emulate starts the modem with the locked SIM; port is its pseudo-terminal.
async function emulate(binary) {
  const dir = await mkdtemp(join(tmpdir(), 'recado-browser-pty-'));
  const child = spawn(binary, ['emulate', '--modems', '1', '--dir', dir, '--family', 'huawei', '--pin', pin, '--puk', puk],
    { stdio: ['ignore', 'pipe', 'inherit'] });
  const ended = new Promise((resolve) => child.once('close', resolve));
  await new Promise((resolve, reject) => {
    child.stdout.on('data', (chunk) => { if (/^ready$/m.test(chunk)) resolve(); });
    child.once('error', reject);
    child.once('close', (status) => reject(new Error(`the emulator ended with ${status}`)));
  });
  return {
    port: join(dir, 'modem0'),
    async stop() {
      child.kill('SIGTERM');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}

// serve runs the binary on a free port until it is stopped; it is there when it has said ready.
async function serve(binary, data, args) {
  const child = spawn(binary, ['serve', '--data', data, '--listen', '127.0.0.1:0', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  const address = await new Promise((resolve, reject) => {
    const give = setTimeout(() => reject(new Error(`it did not say where it listens:\n${said}`)), patience);
    const read = (chunk) => {
      said += chunk;
      const url = said.match(/http:\/\/127\.0\.0\.1:\d+/);
      if (url && /msg=ready/.test(said)) {
        clearTimeout(give);
        resolve({ url: url[0], code: said.match(/setup code:\s*([A-Z0-9-]+)\s/i)?.[1] });
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('close', (status) => reject(new Error(`it ended with ${status}:\n${said}`)));
  });
  return {
    ...address,
    log: () => said,
    async stop() {
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), patience);
      const status = await ended;
      clearTimeout(hard);
      return status;
    },
  };
}

export async function start(binary) {
  const locked = await emulate(binary);
  const data = await mkdtemp(join(tmpdir(), 'recado-browser-'));
  const box = await serve(binary, data, ['--emulate', '4', '--modem', locked.port, '--modem', join(data, 'nothing-here'),
    '--power-hook', '/bin/true', '--trust-clock']);
  return {
    ...box,
    locked: locked.port,
    async stop() {
      const status = await box.stop();
      await locked.stop();
      await rm(data, { recursive: true, force: true });
      return status;
    },
  };
}

// startRestored is an appliance whose data were restored from a backup with
// messages waiting, to numbers by class, and whose time nobody vouches for.
// restore gives back a backup that was downloaded, and says what that printed.
export async function startRestored(binary, { name, password, waiting }) {
  const folder = await mkdtemp(join(tmpdir(), 'recado-browser-'));
  const [data, phrase, file] = ['data', 'phrase', 'backup'].map((part) => join(folder, part));
  const run = promisify(execFile);
  const restore = (from, to, under) => run(binary, ['restore', from, '--passphrase-file', under, '--data', to]);
  await writeFile(phrase, 'cuatro palabras bien largas\n', { mode: 0o600 });
  const made = run(binary, ['user', 'create', '--name', name, '--role', 'admin', '--data', data]);
  made.child.stdin.end(`${password}\n`);
  await made;
  for (const [to, kind] of waiting) await run(binary, ['send', to, 'Su cita es mañana.', '--class', kind, '--data', data]);
  await run(binary, ['backup', file, '--passphrase-file', phrase, '--data', data]);
  await restore(file, data, phrase);
  const box = await serve(binary, data, ['--emulate', '1', '--ignore-ntp']);
  return {
    ...box,
    async restore(archive, secret) {
      const under = join(folder, 'phrase-of-the-download');
      await writeFile(under, `${secret}\n`, { mode: 0o600 });
      return (await restore(archive, join(folder, 'another'), under)).stdout;
    },
    async stop() {
      const status = await box.stop();
      await rm(folder, { recursive: true, force: true });
      return status;
    },
  };
}
