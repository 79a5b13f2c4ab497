// What a page must be whatever it shows: quiet in the console, within its
// content security policy, without axe violations, no wider than the screen.
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

// watch collects what a page complains of; expected are patterns that may come.
export async function watch(page, complaints, expected = []) {
  const note = (what) => { if (!expected.some((e) => e.test(what))) complaints.push(`${page.url()}: ${what}`); };
  page.on('console', (m) => { if (['error', 'warning'].includes(m.type())) note(`console ${m.type()}: ${m.text()}`); });
  page.on('pageerror', (e) => note(`error: ${e.message}`));
  await page.exposeFunction('__recadoViolation', (what) => note(`content security policy: ${what}`));
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', (e) => window.__recadoViolation(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`));
  });
}

// accessible runs axe over the page as it is.
export async function accessible(page, where) {
  await page.evaluate(axe); // through the debugger: the page's policy stays in force
  const found = await page.evaluate(() => window.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  const told = found.violations.map((v) => `${v.id} (${v.impact}): ${v.help}\n` +
    v.nodes.map((n) => `    ${n.target.join(' ')}  ${n.html.slice(0, 160)}\n      ${n.failureSummary.replaceAll('\n', '\n      ')}`).join('\n'));
  assert.equal(told.length, 0, `axe on ${where}:\n${told.join('\n')}`);
}

// fits checks that nothing sticks out sideways, and says what does.
export async function fits(page, where) {
  const out = await page.evaluate(() => {
    const wide = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= wide) return null;
    return [...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > wide + 1)
      .slice(0, 5).map((e) => `${e.tagName.toLowerCase()}.${e.className} ${Math.round(e.getBoundingClientRect().right)} px`);
  });
  assert.equal(out, null, `${where} is wider than its ${page.viewportSize().width} px: ${out}`);
}

// bigEnough checks that what is clicked on a phone is at least 24 px (WCAG 2.2,
// 2.5.8), and buttons and fields 44.
export async function bigEnough(page, where) {
  const small = await page.evaluate(() => [...document.querySelectorAll('button, input:not([type=hidden]), select, textarea, summary, .nav a, a.btn')]
    .filter((e) => e.checkVisibility() && !e.closest('.vh'))
    .map((e) => [e, (e.matches('[type=radio], [type=checkbox]') ? e.closest('label') : e).getBoundingClientRect()])
    .filter(([e, r]) => r.height < (e.closest('.switch') ? 40 : 43.5) || r.width < 24)
    .map(([e, r]) => `${e.outerHTML.slice(0, 90)} ${Math.round(r.width)}×${Math.round(r.height)}`));
  assert.deepEqual(small, [], `${where} has targets that are too small`);
}
