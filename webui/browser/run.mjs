// The whole first path in a real browser, against the real binary:
//
//   node run.mjs PATH_OF_RECADO
//
// The setup code opens the door, a message is written, leaves on an emulated
// SIM, its delivery report is seen, an answer comes in and is answered. A SIM gets
// its PIN, the network is asked for the balance, the check-up gives its bundle. What looks after
// the data is walked through on a second box (care.mjs), what SIMs may send in pool.mjs. Beside that, every page is looked at by axe, in both themes and languages, at 320,
// 360 and 1280 px. It needs Debian's chromium; where it is elsewhere, say so in
// CHROMIUM. On failure a picture of the page is left in the folder of ARTIFACTS.
import assert from 'node:assert/strict';
import { appendFile, readFile } from 'node:fs/promises';
import { gunzipSync } from 'node:zlib';
import { join } from 'node:path';
import { tmpdir } from 'node:os';
import { chromium } from 'playwright-core';
import { pin, puk, start } from './appliance.mjs';
import { care } from './care.mjs';
import { pool } from './pool.mjs';
import { accessible, bigEnough, fits, watch } from './eyes.mjs';

const binary = process.argv[2];
if (!binary) {
  console.error('usage: node run.mjs PATH_OF_RECADO');
  process.exit(2);
}
const flags = ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const password = 'una frase muy larga';
const number = '+34600111222';
const complaints = [];

const box = await start(binary);
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: flags });
let page;
let step = 'start';
const now = (what) => { step = what; console.log(`- ${what}`); };

// visitor is a browser of its own, with what it complains of collected.
async function visitor(options, expected) {
  const context = await browser.newContext({ timezoneId: 'Europe/Madrid', viewport: { width: 1280, height: 900 }, ...options });
  context.setDefaultTimeout(20_000);
  page = await context.newPage();
  await watch(page, complaints, expected);
  return page;
}

try {
  await visitor({ locale: 'es-ES' }, [/status of 4(04|09|22)/]);
  const at = (path) => box.url + path;
  const button = (name) => page.getByRole('button', { name });

  now('the door: a wrong code, then the right one');
  await page.goto(at('/'));
  assert.equal(new URL(page.url()).pathname, '/setup');
  assert.equal(await page.getAttribute('html', 'lang'), 'es');
  await accessible(page, 'the first start');
  await page.getByLabel('Código de instalación').fill('AAAA-BBBB');
  await page.getByLabel('Su nombre de usuario').fill('ana');
  await page.getByLabel('Contraseña nueva', { exact: true }).fill('corta');
  assert.equal(await page.locator('[data-rule=length].met').count(), 0);
  await page.getByLabel('Contraseña nueva', { exact: true }).fill(password);
  await page.getByLabel('Otra vez la contraseña').fill(password);
  assert.equal(await page.locator('.checklist .met').count(), 3);
  await button('Crear la cuenta y entrar').click();
  await page.getByRole('alert').getByText('Ese no es el código de instalación').waitFor();
  assert.equal(await page.getByLabel('Su nombre de usuario').inputValue(), 'ana', 'what was typed is kept');
  await accessible(page, 'the first start with an error');
  await page.getByLabel('Código de instalación').fill(box.code);
  await page.getByLabel('Contraseña nueva', { exact: true }).fill(password);
  await page.getByLabel('Otra vez la contraseña').fill(password);
  await button('Crear la cuenta y entrar').click();

  now('the dashboard, empty and alive');
  await page.getByRole('heading', { name: '¿A quién le deja un recado?' }).waitFor();
  await page.locator('#live-state.on').waitFor();
  await page.waitForFunction(() => document.querySelectorAll('.line .pill.ok').length === 4); // lines come up by themselves
  await accessible(page, 'the empty dashboard');
  await page.getByRole('link', { name: 'Escribir el primer mensaje' }).click();

  now('write: what is wrong and what is dear is said before');
  await page.getByLabel('Para', { exact: true }).fill(`${number}\n600 111 222; 807123456`);
  await page.getByLabel('Texto', { exact: true }).fill('Su cita es el martes – traiga el “DNI”. Begoña');
  await button('Enviar 1 mensaje').waitFor();
  await page.getByText('1 repetido').waitFor();
  await page.locator('.refused').getByText('tarificación especial').waitFor();
  await page.locator('.outside').getByText('“').waitFor();
  await accessible(page, 'writing');
  await page.getByText('Ver cómo quedaría con caracteres sencillos').click();
  assert.match(await page.locator('.diff').innerText(), /–/);
  await button('Cambiarlo por este texto').click();
  await page.locator('.expensive').waitFor({ state: 'detached' });
  const text = await page.getByLabel('Texto', { exact: true }).inputValue();
  assert.equal(text, 'Su cita es el martes - traiga el "DNI". Begoña');
  assert.match(await page.locator('#count').innerText(), /46\s+caracteres/);
  await page.getByLabel('Para', { exact: true }).fill(number);
  await page.locator('.refused').waitFor({ state: 'detached' });
  await button('Enviar 1 mensaje').click();

  now('the message leaves, and its delivery report is seen');
  await page.getByRole('heading', { name: '+34 600 11 12 22' }).waitFor();
  await page.locator('#message .head .pill', { hasText: 'Entregado' }).waitFor();
  await page.locator('.timeline').getByText('La red lo ha aceptado').waitFor();
  await page.locator('.timeline').getByText('Informe de entrega: recibido por el teléfono').waitFor();
  await accessible(page, 'one message');
  const message = new URL(page.url()).pathname;

  now('an answer comes in while the dashboard is open');
  await page.goto(at('/'));
  await page.locator('#live-state.on').waitFor();
  await page.locator('.tile', { hasText: 'entregados hoy' }).getByText('1', { exact: true }).waitFor();
  if (!(await page.getByLabel('A la SIM').isVisible())) await page.getByText('Prácticas: haga llegar una respuesta').click();
  assert.equal(await page.locator('#tr-from').inputValue(), number, 'the practice panel answers the last message');
  await page.locator('#tr-text').fill('Allí estaré <img src=x onerror="alert(1)"><script>alert(2)</script>');
  await button('Hacer llegar').click();
  await page.locator('.latest').getByText('<img src=x onerror="alert(1)"><script>alert(2)</script>').waitFor();
  await page.locator('#unread', { hasText: '1' }).waitFor();
  assert.match(await page.title(), /^\(1\) /);
  await accessible(page, 'the dashboard');

  now('the conversation, and the reply');
  await page.locator('.latest a').click();
  await page.locator('.bubble.in').getByText('Allí estaré <img').waitFor();
  assert.equal(await page.locator('.bubble img, .bubble script').count(), 0);
  await page.locator('#unread').waitFor({ state: 'hidden' }); // opened is read
  await page.locator('#text').fill('De nada. Hasta el martes.');
  await page.locator('#reply-count').getByText('25').waitFor();
  await accessible(page, 'a conversation');
  await button('Responder').click();
  await page.locator('.bubble.out').getByText('De nada. Hasta el martes.').waitFor();
  await page.locator('.mine').last().locator('.tick', { hasText: 'Entregado' }).waitFor();

  now('the kill switch holds a message, and it can be cancelled');
  await page.goto(at('/'));
  await button('Parar los envíos').click();
  await page.locator('#banners').getByText('Los envíos están parados.').waitFor();
  await accessible(page, 'the dashboard while sending is stopped');
  await page.goto(at('/write'));
  await page.getByLabel('Para', { exact: true }).fill('655111222, 655111333');
  await page.getByLabel('Texto', { exact: true }).fill('Esto no debe salir.');
  await button('Enviar 2 mensajes').click();
  await page.getByText('2 mensajes guardados').waitFor();
  await page.getByRole('link', { name: /655 11 12 22/ }).click();
  await button('Cancelar el envío').click();
  await page.locator('#message .head .pill', { hasText: 'Cancelado' }).waitFor();
  await page.goto(at('/'));
  await button('Reanudar los envíos').click();
  await page.locator('#banners .bad').waitFor({ state: 'detached' });

  now('search, a SIM and a modem, a key that is shown once');
  await page.goto(at('/messages?q=Begoña'));
  assert.equal(await page.locator('#list .row').count(), 1);
  await page.goto(at('/lines'));
  await page.locator('.sims .row', { hasText: 'Lista' }).locator('a.row-main').first().click();
  const sim = new URL(page.url()).pathname;
  await page.getByLabel('Nombre').fill('Biblioteca');
  await button('Guardar').click();
  await page.getByRole('heading', { name: 'Biblioteca' }).waitFor();
  await page.locator('#sim dd a').click();
  const modem = new URL(page.url()).pathname;
  await page.getByText('Diálogo con el módem').click();
  assert.equal(await page.locator('#history .timeline > li').first().isVisible(), true);
  await page.goto(at('/settings'));
  await page.getByText('Crear una clave').first().click();
  await page.locator('#k-name').fill('Padrón');
  await page.locator('section', { has: page.locator('#keys-h') }).getByRole('button', { name: 'Crear una clave' }).click();
  assert.match(await page.locator('#secret').innerText(), /^rk_/);
  await accessible(page, 'a new key');
  await page.goto(at('/settings'));
  assert.equal(await page.locator('#secret').count(), 0);

  now('the check-up says what is wrong, and has the bundle');
  await page.goto(at('/lines'));
  await page.locator('.checkup[href="/doctor"]').getByText('no funciona').waitFor();
  await accessible(page, 'the lines with something wrong');
  await page.locator('.checkup[href="/doctor"]').click();
  await page.getByRole('heading', { name: 'Diagnóstico' }).waitFor();
  await page.locator('.finding', { hasText: 'nothing-here' }).getByText('no hay nada conectado ahí').waitFor();
  const [bundle] = await Promise.all([page.waitForEvent('download'), button('Descargar el paquete').click()]);
  assert.match(bundle.suggestedFilename(), /^recado-support-\d{8}-\d{6}\.tar\.gz$/);
  const packed = await readFile(await bundle.path());
  assert.deepEqual([...packed.subarray(0, 2)], [0x1f, 0x8b], 'it is packed');
  const papers = gunzipSync(packed).toString('latin1');
  assert.match(papers, /CONTENTS\.txt/);
  assert.match(papers, /modem-1-history\.txt/);
  for (const secret of [number.slice(3), 'Begoña', pin, puk]) assert.equal(papers.includes(secret), false, `the bundle has ${secret}`);

  now('a SIM that asks for its PIN: from the check-up to its modem, a wrong one, then the right one');
  await page.locator('.finding', { hasText: box.locked }).getByRole('link', { name: 'Introducir el PIN' }).click();
  await page.getByRole('heading', { name: 'La SIM pide su PIN' }).waitFor();
  const modemLocked = new URL(page.url()).pathname;
  await page.locator('#unlock').getByText('Quedan 3 intentos.').waitFor();
  await page.getByText('Apagar y encender', { exact: true }).waitFor();
  await accessible(page, 'a modem that wants a PIN');
  await page.getByLabel('PIN', { exact: true }).fill('1111');
  await button('Probar el PIN').click();
  await page.getByRole('alert').getByText('La SIM no ha aceptado el PIN').waitFor();
  await page.locator('#unlock').getByText('Quedan 2 intentos.').waitFor();
  assert.equal(await page.locator('#pin').inputValue(), '');
  await accessible(page, 'a PIN that was refused');
  await page.getByLabel('PIN', { exact: true }).fill(pin);
  await button('Probar el PIN').click();
  await page.getByText('PIN aceptado.').waitFor();
  await page.locator('#modem .head .pill', { hasText: 'Listo' }).waitFor(); // by itself
  await page.locator('#unlock section').waitFor({ state: 'detached' });
  await page.locator('#history').getByText('El PIN ha abierto la SIM').waitFor();
  await page.locator('#history').getByText('La SIM no ha aceptado el PIN').waitFor();
  assert.doesNotMatch(await page.locator('#history').evaluate((h) => { const c = h.cloneNode(true); c.querySelectorAll('details.raw').forEach((d) => d.remove()); return c.innerText; }),
    /\b(the|was|modem|SIM is)\b/, 'the history is in the reader\'s language');

  now('what is open stays open while the page renews itself');
  await page.locator('#history details.raw > summary').first().click();
  const opened = await page.locator('#history details.raw').first().getAttribute('id');
  await page.evaluate(() => { window.renewed = new Promise((done) => document.addEventListener('htmx:afterSwap', done, { once: true })); htmx.trigger(document.body, 'recado:lines'); });
  await page.evaluate(() => window.renewed.then(() => {}));
  assert.equal(await page.locator(`[id="${opened}"]`).evaluate((d) => d.open), true);

  now('the remembered PIN is forgotten, and power is cut after a confirmation');
  await page.locator('#facts a[href^="/lines/"]').click();
  await page.getByText('Olvidar el PIN').click();
  await button('Olvidarlo').click();
  await page.getByText('PIN olvidado.').waitFor();
  await page.getByRole('heading', { name: 'PIN recordado' }).waitFor({ state: 'detached' });
  await page.goto(at(modemLocked));
  await page.getByText('Apagar y encender', { exact: true }).click();
  await button('Apagar y encender ahora').click();
  await page.getByText('Se le ha quitado la corriente un momento.').waitFor();

  now('three wrong PINs from elsewhere, and the PUK opens the SIM');
  await button('Reiniciar el módem').click();
  await page.getByRole('heading', { name: 'La SIM pide su PIN' }).waitFor();
  for (let i = 0; i < 3; i++) await appendFile(box.locked, 'AT+CPIN="0001"\r'); // Recado would not spend the last try
  await button('Reiniciar el módem').click();
  await page.getByRole('heading', { name: 'La SIM pide su PUK' }).waitFor();
  await page.locator('#unlock').getByText('Diez PUK erróneos destruyen la SIM para siempre. Quedan 10 intentos.').waitFor();
  await accessible(page, 'a modem that wants a PUK');
  for (const width of [320, 1280]) {
    await page.setViewportSize({ width, height: 900 });
    await fits(page, 'a modem that wants a PUK');
  }
  await page.getByLabel('PUK', { exact: true }).fill(puk);
  await page.getByLabel('PIN nuevo', { exact: true }).fill('7777');
  await page.getByLabel('Otra vez el PIN nuevo').fill('7778');
  await button('Desbloquear la SIM').click();
  await page.getByRole('alert').getByText('Los dos PIN nuevos no son iguales.').waitFor();
  await page.getByLabel('PUK', { exact: true }).fill(puk);
  await page.getByLabel('PIN nuevo', { exact: true }).fill('7777');
  await page.getByLabel('Otra vez el PIN nuevo').fill('7777');
  await button('Desbloquear la SIM').click();
  await page.getByText('SIM desbloqueada.').waitFor();
  await page.locator('#modem .head .pill', { hasText: 'Listo' }).waitFor();

  const route = await pool(page, { at, now, sim });

  now('the balance by USSD, a menu, and a code that is not sent');
  await page.goto(at(sim));
  await page.locator('#code').fill('*123#');
  await page.locator('#ussd').getByRole('button', { name: 'Preguntar' }).click();
  await page.locator('.ussd-text').getByText('Su saldo es 12,34 EUR.').waitFor();
  await accessible(page, 'an answer of the network');
  await page.locator('#code').fill('*100#');
  await page.keyboard.press('Enter');
  await page.locator('.ussd-text').getByText('2. Bonos').waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.id), 'reply', 'the reply has the focus');
  await accessible(page, 'a question of the network');
  await page.keyboard.type('2');
  await page.keyboard.press('Enter');
  await page.locator('.ussd-text').getByText('1 GB').waitFor();
  await button('Terminar').click();
  await page.getByText('Consulta terminada.').waitFor();
  await page.locator('#code').fill('**21*600111222#');
  await page.locator('#ussd').getByRole('button', { name: 'Preguntar' }).click();
  await page.getByRole('alert').getByText('Ese código cambia desvíos de llamadas').waitFor();
  await accessible(page, 'a code that is refused');

  now('every page: axe in both themes and languages, nothing wider than a phone');
  const pages = ['/', '/write?to=%2B34600111222', '/messages', message, '/inbox', '/inbox?with=%2B34600111222', '/lines', sim, '/rules', '/rules/new', route, '/rules/balance', `/rules/balance?sim=${sim.split('/').pop()}`, modem, modemLocked, '/doctor', '/settings', '/settings/webhooks', '/nowhere'];
  for (const [lang, scheme] of [['es', 'light'], ['en', 'dark']]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.goto(at('/'));
    await page.getByRole('button', { name: { es: 'Español', en: 'English' }[lang] }).click();
    await page.waitForFunction((want) => document.documentElement.lang === want, lang);
    for (const path of pages) {
      await page.setViewportSize({ width: 1280, height: 900 });
      await page.goto(at(path));
      const where = `${path} (${lang}, ${scheme})`;
      assert.doesNotMatch(await page.locator('body').innerText(), /\[[a-z_]+\.[a-z0-9_.]+\]/, `words are missing on ${where}`);
      await page.$$eval('details', (all) => all.forEach((d) => { d.open = true; }));
      await accessible(page, where);
      await fits(page, where);
      for (const width of [360, 320]) {
        await page.setViewportSize({ width, height: 740 });
        await fits(page, where);
      }
      await bigEnough(page, where);
      if (scheme === 'dark') await accessible(page, `${where} on a phone`);
    }
  }

  now('the keyboard: the skip link comes first and is seen');
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.goto(at('/messages'));
  await page.keyboard.press('Tab');
  const skip = await page.evaluate(() => ({ href: document.activeElement.getAttribute('href'), top: document.activeElement.getBoundingClientRect().top }));
  assert.equal(skip.href, '#main');
  assert.ok(skip.top >= 0, 'the skip link is on the screen when it has the focus');

  now('sign out, and in again');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.waitForURL(/\/login/);
  await accessible(page, 'sign-in');
  await page.goto(at('/messages'));
  assert.equal(new URL(page.url()).pathname, '/login');
  await page.getByLabel('User name').fill('ana');
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(/\/messages$/);

  now('without script a message can be sent too');
  const cookies = await page.context().cookies();
  await visitor({ locale: 'en-GB', javaScriptEnabled: false });
  await page.context().addCookies(cookies);
  await page.goto(at('/write'));
  await page.getByLabel('To', { exact: true }).fill('655111444');
  await page.getByLabel('Text', { exact: true }).fill('Sin script.');
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByRole('button', { name: 'Send 1 message' }).click();
  await page.getByRole('heading', { name: '+34 655 11 14 44' }).waitFor();

  await care(binary, { visitor: (options) => visitor(options, [/status of 422/]), now, password });

  assert.deepEqual(complaints, [], 'the pages complained');
} catch (error) {
  const picture = join(process.env.ARTIFACTS ?? tmpdir(), 'recado-browser-failure.png');
  await page?.screenshot({ path: picture, fullPage: true }).catch(() => {});
  console.error(`FAILED at: ${step}\n${error.stack}\n${complaints.join('\n')}\nat ${page?.url()}, picture: ${picture}\n--- what the appliance said\n${box.log()}`);
  process.exitCode = 1;
} finally {
  await browser.close();
  const status = await box.stop();
  if (status !== 0) {
    console.error(`the appliance ended with ${status}:\n${box.log()}`);
    process.exitCode = 1;
  }
}
if (!process.exitCode) console.log('browser: all well');
