// What looks after the data, against a second appliance of its own: somebody
// vouches for the time, releases and discards what a restore held, erases a
// number, and takes away a backup that can be restored.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { startRestored } from './appliance.mjs';
import { accessible, fits } from './eyes.mjs';

const name = 'eva';
const phrase = 'otras cuatro palabras largas';

// care walks through it; visitor opens a browser, now says what begins.
export async function care(binary, { visitor, now, password }) {
  const box = await startRestored(binary, { name, password, waiting: [['600111222', 'normal'], ['600111333', 'normal'], ['600111444', 'bulk']] });
  try {
    await walk(box, await visitor({ locale: 'en-GB' }), now, password);
  } catch (error) {
    error.stack += `\n--- what the restored appliance said\n${box.log()}`;
    throw error;
  } finally {
    assert.equal(await box.stop(), 0, 'the restored appliance ends well');
  }
}

async function walk(box, page, now, password) {
  const at = (path) => box.url + path;
  const button = (label) => page.getByRole('button', { name: label, exact: true });
  const looked = async (where) => {
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 900 });
      await fits(page, where);
    }
    await accessible(page, where);
  };

  now('a restored box: somebody vouches for the time');
  await page.goto(at('/login'));
  await page.getByLabel('User name').fill(name);
  await page.getByLabel('Password').fill(password);
  await button('Sign in').click();
  await page.getByText('Nobody vouches for this box').waitFor();
  await looked('a dashboard with banners');
  await button('This time is right').first().click();
  await page.getByText('the time counts as right from now on').waitFor();
  await page.locator('#clock').getByText('Somebody of yours vouched for the time.').waitFor();
  assert.equal(await page.getByText('Nobody vouches').count(), 0);

  now('what the restore held is released, and discarded');
  await page.getByText('3 messages are held').waitFor();
  await page.goto(at('/'));
  await page.getByRole('link', { name: '3 held: wait for a decision' }).waitFor(); // in the queue, with a number of its own
  await page.getByRole('link', { name: 'Look at them' }).click();
  await looked('what is held');
  await page.locator('tr', { has: page.locator('a[href$="class=normal"]') }).getByRole('link', { name: 'Release' }).click();
  await page.getByRole('heading', { name: 'Release 2 messages?' }).waitFor();
  await looked('the question before a release');
  await button('Release 2 messages').click();
  await page.getByText('2 messages released.').waitFor();
  await page.getByRole('link', { name: 'Discard' }).first().click();
  await button('Discard 1 message').click();
  await page.getByText('Nothing is held').waitFor();
  await page.goto(at('/messages?q=600111222'));
  await page.locator('#list .row', { hasText: 'Delivered' }).waitFor(); // it left

  now('a period out of range is told its range');
  await page.goto(at('/settings'));
  await page.locator('#retention summary').first().click();
  await page.$$eval('#retention input', (all) => all.forEach((i) => i.removeAttribute('max'))); // as a browser that does not look
  await page.locator('#normal_body').fill('99999');
  await page.locator('#retention form[action="/settings/retention"] button').click();
  await page.getByRole('alert').getByText('the text is kept for 0 to 3660 days').waitFor();
  assert.equal(await page.locator('#normal_body').inputValue(), '99999');
  await looked('a retention that is refused');

  now('a number is erased');
  await page.goto(at('/settings'));
  await page.locator('#erase summary').click();
  await page.getByLabel('Number', { exact: true }).fill('600111222');
  await page.locator('#erase button.danger').click();
  await page.locator('#e-again').fill('600111223');
  await page.locator('#erase button.danger').click();
  await page.locator('#erase [role=alert], #retention [role=alert]').first().waitFor();
  await looked('the question before an erasure');
  await page.locator('#e-again').fill('600111222');
  await page.locator('#erase button.danger').click();
  await page.locator('#erase [role=status]').waitFor();
  await page.goto(at('/messages?q=600111222'));
  assert.equal(await page.locator('#list .row').count(), 0, 'nothing is left of it');

  now('a backup is downloaded, and can be restored');
  await page.goto(at('/settings'));
  await page.locator('#backups details', { has: page.locator('#b-pass') }).locator('summary').click();
  await page.locator('#b-pass').fill(phrase);
  await page.locator('#b-again').fill(phrase);
  const [download] = await Promise.all([page.waitForEvent('download'), page.locator('#backups form', { has: page.locator('#b-pass') }).getByRole('button').click()]);
  assert.match(download.suggestedFilename(), /^recado-\d{8}-\d{6}\.backup$/);
  const archive = await download.path();
  assert.match((await readFile(archive)).subarray(0, 32).toString('latin1'), /^age-encryption\.org\/v1\n/);
  assert.match(await box.restore(archive, phrase), /: 2 messages/);
  await page.context().close(); // before the box goes, which the page would complain of
}
