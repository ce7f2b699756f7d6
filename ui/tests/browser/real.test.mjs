/**
 * The same page served by a real server: set SAWYER_URL to its address.
 * The server should hold records of the last hour, and some should still be arriving.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { launch, openPage, screenshot } from './browser.mjs';

const url = process.env.SAWYER_URL;
if (!url) console.log('SAWYER_URL is not set: nothing is tested against a real server');
/** Registers a test only where there is a server to test. */
const testReal = url ? test : () => {};

let browser;
let page;

before(async () => {
  if (!url) return;
  browser = await launch();
  page = await openPage(browser, url.endsWith('/') ? url : `${url}/`);
});

after(() => browser?.close());

const rows = () => page.locator('.logrow:not([hidden])');
const count = async () => Number((await page.locator('.cost b').innerText()).replace(/\D/g, ''));

testReal('loads rows, histogram and fields', async () => {
  await rows().first().waitFor({ timeout: 15_000 });
  await page.locator('.cost b').waitFor();
  await page.locator('.histogram canvas').waitFor();
  await page.locator('.field-name').first().waitFor();
  assert.ok((await count()) > 0);
  await page.waitForTimeout(500);
  await screenshot(page, 'real-search');
});

testReal('searches and shows an error with its place', async () => {
  await type('level: error)');
  await page.locator('.query-error pre', { hasText: '^' }).waitFor();
  await type('message: *');
  await rows().first().waitFor();
  assert.equal(await page.locator('.query-error').count(), 0);
});

async function type(query) {
  await page.locator('.cm-content').click();
  await page.keyboard.press('Control+a');
  await page.keyboard.type(query);
  await page.keyboard.press('Enter');
}

testReal('filters in by a top value', async () => {
  await page.locator('.field-name', { hasText: /^(Aa)?level$/ }).click();
  await page.locator('.value').first().waitFor();
  await page.locator('.value .icon-button').first().click();
  await page.locator('.pill').waitFor();
  // The rows before stay until the answer is there.
  let levels;
  for (let look = 0; look < 100 && levels?.size !== 1; look++) {
    await page.waitForTimeout(50);
    levels = new Set(await page.locator('.logrow:not([hidden]) .logcell-level').allInnerTexts());
  }
  assert.equal(levels.size, 1);
  await page.locator('.pill .icon-button').click();
});

testReal('opens a whole record', async () => {
  await rows().nth(1).click();
  await page.locator('.details .fieldline').first().waitFor();
  await page.getByRole('tab', { name: 'As written' }).click();
  assert.ok((await page.locator('.details pre').innerText()).length > 0);
  await screenshot(page, 'real-details');
  await page.locator('.loglist').focus();
  await page.keyboard.press('Escape');
});

testReal('brushes the histogram', async () => {
  const plot = page.locator('.histogram .u-over');
  const box = await plot.boundingBox();
  await page.mouse.move(box.x + box.width * 0.5, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width * 0.99, box.y + 30, { steps: 8 });
  await page.mouse.up();
  await page.getByRole('button', { name: 'Undo zoom' }).waitFor();
  const parameters = new URL(page.url()).searchParams;
  assert.ok(Date.parse(parameters.get('from')) < Date.parse(parameters.get('to')));
  await page.getByRole('button', { name: 'Undo zoom' }).click();
});

testReal('follows new records', async () => {
  await page.getByRole('button', { name: 'Live', exact: true }).click();
  await page.locator('.live-dot.is-open').waitFor({ timeout: 10_000 });
  await rows().first().waitFor({ timeout: 30_000 });
  await screenshot(page, 'real-live');
  await page.getByRole('button', { name: 'Live', exact: true }).click();
  await page.locator('.histogram').waitFor();
});

testReal('switches to Korean and dark', async () => {
  await page.getByRole('button', { name: 'Display settings' }).click();
  await page.getByRole('radio', { name: '한국어' }).check();
  await page.getByRole('radio', { name: '어둡게' }).check();
  await page.keyboard.press('Escape');
  await page.getByRole('button', { name: '실행', exact: true }).waitFor();
  await page.waitForTimeout(500);
  await screenshot(page, 'real-dark-ko');
});

testReal('nothing was refused or thrown', () => {
  assert.deepEqual(
    page.problems.filter((problem) => !/status of 400/.test(problem)),
    [],
  );
});
