// Starts the real binary with emulated modems on a free port, and ends it. Beside
// them a modem whose SIM asks for a PIN, emulated by a process of its own on a
// pseudo-terminal, and a port where nothing is.
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

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

export async function start(binary) {
  const locked = await emulate(binary);
  const data = await mkdtemp(join(tmpdir(), 'recado-browser-'));
  const child = spawn(binary, ['serve', '--data', data, '--emulate', '4', '--modem', locked.port, '--modem', join(data, 'nothing-here'),
    '--power-hook', '/bin/true', '--listen', '127.0.0.1:0', '--trust-clock'], { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  const ended = new Promise((resolve) => child.once('close', resolve));
  const address = await new Promise((resolve, reject) => {
    const give = setTimeout(() => reject(new Error(`it did not say where it listens:\n${said}`)), patience);
    const read = (chunk) => {
      said += chunk;
      const url = said.match(/http:\/\/127\.0\.0\.1:\d+/);
      const code = said.match(/setup code:\s*([A-Z0-9-]+)\s/i);
      if (url && code) {
        clearTimeout(give);
        resolve({ url: url[0], code: code[1] });
      }
    };
    child.stdout.on('data', read);
    child.stderr.on('data', read);
    child.once('error', reject);
    child.once('close', (status) => reject(new Error(`it ended with ${status}:\n${said}`)));
  });
  return {
    ...address,
    locked: locked.port,
    log: () => said,
    async stop() {
      child.kill('SIGTERM');
      const hard = setTimeout(() => child.kill('SIGKILL'), patience);
      const status = await ended;
      clearTimeout(hard);
      await locked.stop();
      await rm(data, { recursive: true, force: true });
      return status;
    },
  };
}
