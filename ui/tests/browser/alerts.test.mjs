/** The room of alerts, against the fixture server. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { startFixture } from '../fixture/server.mjs';
import { launch, openPage, screenshot } from './browser.mjs';

let browser;
let fixture;
let page;

before(async () => {
  browser = await launch();
  fixture = await startFixture({ count: 500 });
  page = await openPage(browser, `${fixture.url}?q=level%3A+error&room=alerts`);
});

after(async () => {
  await browser?.close();
  await fixture?.close();
});

const asked = (method, path) =>
  fixture.api.alerts.requests.filter((request) => request.method === method && request.path === path);

test('lists rules, those that fire first', async () => {
  await page.locator('.rule').first().waitFor();
  assert.deepEqual(await page.locator('.rule h2').allInnerTexts(), ['errors', 'heartbeat', 'old', 'quiet']);
  await page.getByText('the query did not end within 30 s').waitFor();
  await page.getByText('3 evaluations were missed').waitFor();
  assert.equal(await page.locator('.rule').first().getByText('in the configuration').count(), 1);
  await screenshot(page, 'alerts-rules');
});

test('silences an alert with its labels', async () => {
  await page.getByRole('button', { name: 'Silence for 2h' }).click();
  await page.getByRole('tab', { name: 'Silences' }).click();
  await page.locator('.rule code').first().waitFor();
  const [request] = asked('POST', 'silences');
  assert.deepEqual(request.parameters.matchers, ['alertname="errors"', 'namespace="shop"']);
  await page.getByRole('button', { name: 'End now' }).click();
  await page.getByText('No silences.').waitFor();
});

test('a silenced alert says until when, and can be heard again there', async () => {
  const { alerts } = fixture.api;
  await page.getByRole('tab', { name: 'Rules' }).click();
  await page.getByRole('button', { name: 'Silence for 2h' }).click();
  const until = new Date(Date.parse(alerts.silences[0].ends) + 9 * 3_600_000).toISOString().slice(11, 19);
  await page
    .getByText(/^silenced until /)
    .filter({ hasText: until })
    .waitFor();
  await screenshot(page, 'alerts-silenced');
  await page.getByRole('button', { name: 'End silence' }).click();
  await page.getByRole('button', { name: 'Silence for 2h' }).waitFor();
  // A silence that others made for more than this alert is asked about.
  alerts.silence('POST', '', { matchers: ['namespace=~".+"'], comment: '' });
  alerts.silences[0].alerts = 3;
  await page.reload();
  const end = page.getByRole('button', { name: 'End silence' });
  await end.click();
  await page.getByRole('button', { name: 'Really, for 3 alerts?' }).click();
  await page.getByRole('button', { name: 'Silence for 2h' }).waitFor();
  assert.deepEqual(alerts.silences, []);
});

test('shows what was told, and tries a notifier out', async () => {
  await page.getByRole('tab', { name: 'History' }).click();
  await page.getByText('status 400: no').waitFor();
  await page.getByText('connection refused').waitFor();
  await page.getByRole('button', { name: 'Try out' }).first().click();
  await page.locator('.notifier [role=status]', { hasText: 'Delivered' }).waitFor();
  await screenshot(page, 'alerts-history');
});

test('makes a rule of the current search, with its past', async () => {
  await page.getByRole('button', { name: 'Search', exact: true }).click();
  await page.locator('.logrow').first().waitFor();
  await page.getByRole('button', { name: 'Alert', exact: true }).click();
  await page.locator('.preview-plot canvas').waitFor();
  assert.equal(await page.getByLabel('Name').inputValue(), 'level-error');
  assert.equal(await page.getByLabel('Query').inputValue(), 'level: error');
  await page.getByRole('textbox', { name: 'Threshold' }).fill('>= 12');
  const notifiers = page.locator('.alert-check');
  assert.deepEqual(
    (await notifiers.allInnerTexts()).map((text) => text.trim()),
    ['slack', 'ops webhook'],
  );
  await notifiers.first().click();
  await page.getByText('It would have fired once').waitFor();
  await screenshot(page, 'alerts-editor');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.rule h2', { hasText: 'level-error' }).waitFor();
  const [request] = asked('POST', 'rules/level-error');
  assert.equal(request.parameters.count, '>= 12');
  assert.deepEqual(request.parameters.notify, ['slack']);
});

test('changes a rule and keeps what the form does not show', async () => {
  const rule = page.locator('.rule', { has: page.locator('h2', { hasText: 'quiet' }) });
  await rule.getByRole('button', { name: 'Change' }).click();
  await page.getByLabel('Window').fill('10m');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('.rule').first().waitFor();
  const [request] = asked('PUT', 'rules/quiet');
  assert.deepEqual([request.parameters.window, request.parameters.lateness], ['10m', '20s']);
  await rule.getByRole('button', { name: 'Remove' }).click();
  await rule.getByRole('button', { name: 'Really remove?' }).click();
  await rule.waitFor({ state: 'detached' });
});

test('an alert leads to its records', async () => {
  // What an earlier look at surrounding records left in the address is not what the alert means.
  await page.goto(`${fixture.url}?room=alerts&order=asc&limit=2000`);
  await page.getByRole('button', { name: 'Show records' }).first().click();
  await page.locator('.searchbar').waitFor();
  const parameters = new URL(page.url()).searchParams;
  assert.equal(parameters.get('q'), 'level: error and namespace: "shop"');
  assert.deepEqual([parameters.get('order'), parameters.get('limit')], [null, null]);
  assert.ok(Date.parse(parameters.get('from')) < Date.parse(parameters.get('to')));
  assert.deepEqual(page.problems, []);
});
