/** The room of the pipeline, against the fixture server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFixture } from '../fixture/server.mjs';
import { launch, openPage, screenshot } from './browser.mjs';

let browser;
let fixture;
let page;

before(async () => {
  browser = await launch();
  fixture = await startFixture({ count: 50 });
  page = await openPage(browser, fixture.url);
});

after(async () => {
  await browser?.close();
  await fixture?.close();
});

test('says that every record is accounted for', async () => {
  await page.getByRole('button', { name: 'Pipeline' }).click();
  await page.getByText('Every record that was read is accounted for.').waitFor();
  assert.match(page.url(), /room=pipeline/);
  const rows = page.getByRole('group', { name: 'Ledger' }).locator('tbody tr');
  assert.equal(await rows.count(), 4);
  assert.match(await rows.first().innerText(), /containers\s+store/);
  // The largest first, with the rule that left records out.
  const endings = await rows.first().locator('.ending').allInnerTexts();
  assert.deepEqual(endings, ['delivered 1,061,194', 'filteredprobes 120,000', 'joined 23,117']);
  await screenshot(page, 'pipeline');
});

test('shows what is behind, what waits and what was refused', async () => {
  const inputs = page.getByRole('group', { name: 'Inputs' });
  assert.match(await inputs.getByRole('row', { name: 'containers' }).innerText(), /41\s+3\.\d MB?.*\s+2/);
  const dead = page.getByRole('group', { name: 'Buffers' }).getByRole('row', { name: 'dead letters' });
  assert.equal(await dead.locator('.is-bad').innerText(), '3');
});

test('shows which rule took the lines of which pod', async () => {
  const rows = page.getByRole('group', { name: 'Files' }).locator('tbody tr');
  await rows.first().waitFor();
  assert.equal(await rows.count(), 4);
  assert.match(await rows.first().innerText(), /^shop \/ cart-6d5f9c7b4-x2x9k \/ app 0\.log\s+85\.8 MB?/);
  const endings = await rows.first().locator('.ending').allInnerTexts();
  assert.deepEqual(endings, ['filteredprobes 120,000', 'joined 15,000', 'joined 15,000']);
  assert.match(await rows.last().innerText(), /other files of containers[^]*probes 311/);
  await page.getByRole('searchbox', { name: 'Pod, container or path' }).fill('payments');
  await rows.getByText('shop / payments-7c9d5bbf6-9qkzt / app').waitFor();
  await rows.getByText('coredns').waitFor({ state: 'detached' });
  assert.equal(await rows.count(), 2);
  await screenshot(page, 'pipeline-files');
  await page.getByRole('searchbox', { name: 'Pod, container or path' }).fill('');
});

test('shows whether what other Sawyers sent is there', async () => {
  const rows = page.getByRole('group', { name: 'End to end' }).locator('tbody tr');
  assert.match(await rows.first().innerText(), /node-1\s+sawyer.*\s+0 B$/);
  fixture.api.pipeline.ledger.peers[1].taken.missing = 5000;
  const missing = rows.and(page.locator('.is-open'));
  await missing.waitFor({ timeout: 20_000 });
  assert.match(await rows.first().innerText(), /node-2/);
});

test('puts the book that does not close first', async () => {
  fixture.api.pipeline.ledger.ledger.reverse();
  fixture.api.pipeline.lose(7);
  await page.getByText('1 of the books below do not close').waitFor({ timeout: 20_000 });
  const first = page.getByRole('group', { name: 'Ledger' }).locator('tbody tr').first();
  assert.match(await first.locator('td').last().innerText(), /^7/);
  await screenshot(page, 'pipeline-open');
});

test('nothing went wrong meanwhile', () => {
  assert.deepEqual(page.problems, []);
});
